"""Anchored preference optimisation, away from both responses."""

import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.batches import PairLogps

exempt = {
    "preferring_a_pushes_a_up_and_b_down": "it lowers both, the preferred response less: at the "
    "reference that one is at rest"
}


def apo_down(y: PairLogps, *, beta: float = 0.1) -> Float[Tensor, " pair"]:
    """Lower both responses, the rejected one more.

        ℓ(w, l) = σ(βd_w) + 1 − σ(βh_wl),    d = log π(y)/π_ref(y),    ℓ = p ℓ(a, b) + (1−p) ℓ(b, a)

    D'Oosterlinck et al. 2024, eq. 8 (arXiv:2408.06266); TRL's `apo_down`. For data that is worse
    than what the policy writes, of which only the order is worth learning. At the reference the
    preferred response does not move; it falls once the margin is won.
    """
    d_a, d_b = beta * (y.a - y.ref_a), beta * (y.b - y.ref_b)
    a_wins = d_a.sigmoid() + torch.sigmoid(d_b - d_a)
    b_wins = d_b.sigmoid() + torch.sigmoid(d_a - d_b)
    return y.p * a_wins + (1 - y.p) * b_wins
