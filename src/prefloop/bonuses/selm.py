"""Self-exploring language models."""

from jaxtyping import Float
from torch import Tensor

from prefloop.batches import SampleLogps
from prefloop.bonuses._checks import at_least_zero

samples = "reference"


def selm(s: SampleLogps, *, alpha: float = 1e-3, beta: float = 0.1) -> Float[Tensor, " sample"]:
    """Lower the implicit reward of what the reference says: +αβ log π(y)/π_ref(y).

    Zhang et al. 2024, eq. 4.2 (arXiv:2405.19332); its algorithm 1 drops the β that its code keeps.
    β is the loss's, and the method is online VPO with the reference's law as calibration. The
    published code decodes y greedily, which pushes the reference's mode down from the first step;
    with sampled y the expected push there is zero.
    """
    at_least_zero("alpha", alpha)
    return alpha * beta * s.log_ratio
