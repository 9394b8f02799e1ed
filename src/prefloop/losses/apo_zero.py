"""Anchored preference optimisation, towards the preferred responses."""

import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.batches import PairLogps


def apo_zero(y: PairLogps, *, beta: float = 0.1) -> Float[Tensor, " pair"]:
    """Lift the preferred response above the reference and push the other below it.

        ℓ(w, l) = 1 − σ(βd_w) + σ(βd_l),    d = log π(y)/π_ref(y),    ℓ = p ℓ(a, b) + (1−p) ℓ(b, a)

    D'Oosterlinck et al. 2024, eq. 7 (arXiv:2408.06266); TRL's `apo_zero`. For data that is better
    than what the policy writes. It is `kto` with z₀ = 0 on both responses. A soft label scales it
    by 2p − 1 and has no minimum of its own: as the hinge does, it learns which and not by how much.
    """
    gain = torch.sigmoid(beta * (y.a - y.ref_a)) - torch.sigmoid(beta * (y.b - y.ref_b))
    return 1 - (2 * y.p - 1) * gain
