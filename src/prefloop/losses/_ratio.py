"""How much likelier something has become, without overflow."""

from jaxtyping import Float
from torch import Tensor

_STRAIGHT = 20.0
"""e²⁰ is 5e8: nothing that is still being learned from gets there"""


def ratio(log_ratio: Float[Tensor, " token"]) -> Float[Tensor, " token"]:
    """exp(log-ratio), continued by its tangent above 20 nats: always finite, always rising."""
    below = log_ratio.clamp(max=_STRAIGHT)
    return below.exp() * (1 + log_ratio - below)
