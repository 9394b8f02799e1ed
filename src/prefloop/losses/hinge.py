"""Hinge loss on the log-ratio margin."""

from jaxtyping import Float
from torch import Tensor

from prefloop.batches import PairLogps


def hinge(y: PairLogps, *, beta: float = 0.1) -> Float[Tensor, " pair"]:
    """Push the margin past 1/β in the preferred direction, then stop.

        ℓ = p max(0, 1 − βh) + (1−p) max(0, 1 + βh)

    Liu et al. 2023, "hinge-norm" (arXiv:2309.06657); TRL's `hinge`. Minimised at βh = 1 for every
    ½ < p < 1 (and at −1 below): it learns which response is better, never by how much.
    """
    h = beta * y.margin
    return y.p * (1 - h).relu() + (1 - y.p) * (1 + h).relu()
