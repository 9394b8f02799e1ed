"""A likelihood term on samples."""

from jaxtyping import Float
from torch import Tensor

from prefloop.batches import SampleLogps
from prefloop.bonuses._checks import at_least_zero

samples = "chosen"


def sft(s: SampleLogps, *, alpha: float = 0.005) -> Float[Tensor, " sample"]:
    """Raise the likelihood of given responses, per token: −α log π(y)/|y|.

    Liu et al. 2024 (arXiv:2405.16436): an imitation term as pessimism, which keeps the chosen
    response from falling together with the rejected one. `rpo` is this bonus on the chosen
    responses inside a loss; here it may be on others.
    """
    at_least_zero("alpha", alpha)
    return -alpha * s.y / s.length
