"""Kahneman–Tversky optimisation on pairs."""

import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.batches import PairLogps

needs = ("whole",)


def kto_pair(y: PairLogps, *, beta: float = 0.1) -> Float[Tensor, " pair"]:
    """KTO on both responses of a pair, each half of the batch measured against the other.

        ℓ(w, l) = ½ (1 − σ(β(d_w − z_l))) + ½ (1 − σ(β(z_w − d_l))),    d = log π(y)/π_ref(y)
        ℓ       = p ℓ(a, b) + (1−p) ℓ(b, a)

    Ethayarajh et al. 2024 (arXiv:2402.01306) as TRL's `DPOTrainer` once had it. z_w and z_l are the
    means of d over the preferred and over the rejected responses of the whole batch, p-weighted,
    not below zero and without gradient. They are no KL, as the prompts match: once training works
    z_l is zero, and z_w all that the preferred half has gained.
    """
    if y.whole is None:
        raise ValueError(
            "kto_pair takes means over the whole accumulated batch, got whole=None: pass the batch "
            "itself, detached, where it is not cut"
        )
    preferred, rejected = _halves(y.whole)
    d_a, d_b = y.a - y.ref_a, y.b - y.ref_b
    a_wins = torch.sigmoid(beta * (rejected - d_a)) + torch.sigmoid(beta * (d_b - preferred))
    b_wins = torch.sigmoid(beta * (rejected - d_b)) + torch.sigmoid(beta * (d_a - preferred))
    return (y.p * a_wins + (1 - y.p) * b_wins) / 2


def _halves(whole: PairLogps) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The mean log-ratio of what is preferred and of what is rejected, not below zero."""
    d_a, d_b = whole.a - whole.ref_a, whole.b - whole.ref_b
    preferred = whole.p * d_a + (1 - whole.p) * d_b
    rejected = (1 - whole.p) * d_a + whole.p * d_b
    return preferred.mean().clamp(min=0), rejected.mean().clamp(min=0)
