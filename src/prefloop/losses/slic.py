"""Sequence likelihood calibration."""

from jaxtyping import Float
from torch import Tensor

from prefloop.batches import PairLogps


def slic(y: PairLogps, *, delta: float = 1.0, lam: float = 0.1) -> Float[Tensor, " pair"]:
    """Rank the preferred response δ nats above the other, and keep a target text likely.

        ℓ       = p ℓ(a, b) + (1−p) ℓ(b, a)
        ℓ(w, l) = max(0, δ − log π(w) + log π(l)) − λ log π(target)

    Zhao et al. 2023 (arXiv:2305.10425), on summed log-probabilities. The target is `y.target`
    where there is one, else the preferred response `w`. There is no reference model: once the
    hinge is at rest, λ pulls the policy towards the target and nothing holds it back.
    """
    gap = y.a - y.b
    ranking = y.p * (delta - gap).relu() + (1 - y.p) * (delta + gap).relu()
    target = y.p * y.a + (1 - y.p) * y.b if y.target is None else y.target
    return ranking - lam * target
