"""One score of several: what an ensemble of heads says."""

from typing import TYPE_CHECKING

from jaxtyping import Float

if TYPE_CHECKING:
    from torch import Tensor


def aggregated(scores: "Float[Tensor, 'response head']", how: str) -> "Float[Tensor, ' response']":
    """The heads' mean, their least (`min`), the mean less one standard deviation (`lower`), or what
    the `first` says."""
    if how == "first":
        return scores[:, 0]
    if how == "min":
        return scores.amin(1)
    spread = scores.std(1, correction=1) if how == "lower" else 0.0
    return scores.mean(1) - spread
