"""REINFORCE leave-one-out."""

import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.batches import TokenLogps
from prefloop.losses._ratio import ratio

needs = ("reward",)


def rloo(y: TokenLogps, *, clip: float = 0.2) -> Float[Tensor, " token"]:
    """Raise whole responses that did better than the prompt's others, without a critic.

        ℓ = max(−A ρ, −A clip(ρ, 1−ε, 1+ε)),    ρ = π(response)/π_old(response)

    Ahmadian et al. 2024 (arXiv:2402.14740); TRL's `RLOOTrainer`. A response is one action, so its
    advantage is its first token's (`credit.estimator: leave_one_out` gives all tokens the same).
    Its tokens share its ℓ: each carries ℓ · mean length / its length, so that the mean over tokens
    is the mean over responses. At ρ = 1 its gradient is REINFORCE's.
    """
    response = y.response.contiguous()
    first = torch.searchsorted(response, response)
    advantage, moved = y.advantage[first], ratio(y.summed(y.log_ratio))
    loss = torch.maximum(-advantage * moved, -advantage * moved.clamp(1 - clip, 1 + clip))
    return loss * y.mean_length / y.summed(torch.ones_like(loss))
