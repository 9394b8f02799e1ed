"""Exploratory preference optimisation."""

from jaxtyping import Float
from torch import Tensor

from prefloop.batches import SampleLogps
from prefloop.bonuses._checks import at_least_zero

samples = "reference"


def xpo(s: SampleLogps, *, alpha: float = 1e-5) -> Float[Tensor, " sample"]:
    """Lower the likelihood of what the reference says: +α log π(ỹ), ỹ ~ π_ref.

    Xie et al. 2024, algorithm 1 (arXiv:2405.21046). α carries no β: it is `vpo`'s α times β. At
    π = π_ref its expected push is zero, −∇E_ref[log π] = π − π_ref: only one-sample noise moves the
    policy at first. A reproduction prints the sign the other way round; that is pessimism.
    """
    at_least_zero("alpha", alpha)
    return alpha * s.y
