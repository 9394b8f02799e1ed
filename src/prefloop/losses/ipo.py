"""Identity preference optimisation."""

from jaxtyping import Float
from torch import Tensor

from prefloop.batches import PairLogps


def ipo(
    y: PairLogps, *, beta: float = 0.1, length_normalize: bool = False
) -> Float[Tensor, " pair"]:
    """Regress the margin onto ±1/(2β), the sign being the oracle's answer.

        ℓ = p (h − 1/2β)² + (1−p) (h + 1/2β)²

    Azar et al. 2023, eq. 17 (arXiv:2310.12036), where β is called τ. Minimised at h = (p − ½)/β:
    unlike DPO's, the margin stays finite when p = 1. `length_normalize` takes h from per-token
    means, as TRL's `ipo` does: one β then suits all lengths, and the closed form is lost.
    """
    h = y.margin
    if length_normalize:
        h = (y.a - y.ref_a) / y.len_a - (y.b - y.ref_b) / y.len_b
    target = 1 / (2 * beta)
    return y.p * (h - target) ** 2 + (1 - y.p) * (h + target) ** 2
