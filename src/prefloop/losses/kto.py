"""Kahneman–Tversky optimisation."""

import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.batches import PointLogps

needs = ("mismatch",)


def kto(
    y: PointLogps,
    *,
    beta: float = 0.1,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Float[Tensor, " sample"]:
    """Raise desirable responses above the policy's usual log-ratio, lower undesirable ones below.

        ℓ = λ_D (1 − σ(β(d − z₀)))   if desirable,    d = log π(y)/π_ref(y)
            λ_U (1 − σ(β(z₀ − d)))   if not,          z₀ = max(0, mean of d over mismatched pairs)

    Ethayarajh et al. 2024, eq. 7 (arXiv:2402.01306); TRL's `kto`. z₀ estimates KL(π‖π_ref) from
    other prompts' responses and gets no gradient. Solved and hopeless responses alike are left
    alone: the slope is λβσ(1−σ), at β = 0.1 and 50 nats from z₀ 3 % of what it is there. Keep
    λ_D n_D / (λ_U n_U) between 1 and 4/3.
    """
    if y.mismatch is None or y.mismatch.numel() == 0:
        raise ValueError(
            "kto needs mismatched pairs, responses beside other prompts, to estimate the KL from, "
            "got none; a batch needs at least 2 prompts for them"
        )
    gain = beta * (y.y - y.ref - y.mismatch.mean().clamp(min=0))
    desirable = desirable_weight * torch.sigmoid(-gain)
    return torch.where(y.desirable, desirable, undesirable_weight * torch.sigmoid(gain))
