"""Proximal policy optimisation."""

import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.batches import TokenLogps
from prefloop.losses._ratio import ratio

needs = ("reward", "value")


def ppo(
    y: TokenLogps, *, clip: float = 0.2, value_clip: float = 0.2, value_weight: float = 0.1
) -> Float[Tensor, " token"]:
    """Raise what turned out better than the critic expected, as far as one round's samples reach.

        ℓ = max(−A ρ, −A clip(ρ, 1−ε, 1+ε)) + c ½ max((V − R)², (V_clip − R)²)
        ρ = π(token)/π_old(token),    V_clip = clip(V, V_old − ε_v, V_old + ε_v)

    Schulman et al. 2017, eq. 7 (arXiv:1707.06347); `value_weight` is c. At ρ = 1, on a round's
    first step, its gradient is REINFORCE's, a mean over tokens instead of responses. The clip only
    takes gradients away: a token beyond it is left where it is, never brought back.
    """
    if y.value is None or y.old_value is None or y.returns is None:
        raise ValueError(
            "ppo needs a critic's values, as they are and as they were, and the returns they aim "
            "at, got None; give value, old_value and returns, or use rloo, which has no critic"
        )
    moved = ratio(y.log_ratio)
    policy = torch.maximum(-y.advantage * moved, -y.advantage * moved.clamp(1 - clip, 1 + clip))
    kept = y.old_value + (y.value - y.old_value).clamp(-value_clip, value_clip)
    critic = torch.maximum((y.value - y.returns) ** 2, (kept - y.returns) ** 2)
    return policy + value_weight * 0.5 * critic
