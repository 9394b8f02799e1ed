"""How much of verbosity to take off an attribute, so that the two do not go together."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from prefloop.measure.lengths import spearman

MOST = 0.03
"""|Spearman| that may be left"""
NOTHING = 1e-9
"""a spread so small, beside what was subtracted, is rounding"""


def penalties(
    attributes: Float[np.ndarray, "response attribute"], verbosity: int
) -> Float[np.ndarray, " attribute"]:
    """λ_k of each attribute: |Spearman(r_k − λ_k r_verbosity, r_verbosity)| ≤ .03.

    Wang et al. 2024 (arXiv:2406.12845). Verbosity's own is 1, as in the published code: what is
    left of it is nothing, and a gate that gives it weight says that little matters here.
    """
    check_index(verbosity, attributes.shape[1])
    wordy = attributes[:, verbosity]
    if np.ptp(wordy) <= NOTHING * np.abs(wordy).max():
        raise ValueError(
            f"attribute {verbosity} says {wordy[0]:g} of all {len(wordy)} responses, so none is "
            "more verbose than another; name another attribute, or leave verbosity out"
        )
    found = np.array([penalty(column, wordy) for column in attributes.T])
    found[verbosity] = 1.0
    left = [correlation(r, wordy, x) for r, x in zip(attributes.T, found, strict=True)]
    _check(left)
    return found


def check_index(verbosity: int, count: int) -> None:
    """ValueError unless it is one of so many attributes."""
    if not 0 <= verbosity < count:
        raise ValueError(
            f"verbosity must be an attribute's index, 0 to {count - 1}, got {verbosity}; count "
            "from 0 in the order of values"
        )


def penalty(r: Float[np.ndarray, " response"], wordy: Float[np.ndarray, " response"]) -> float:
    """The λ at which the Spearman correlation of r − λ·wordy with wordy crosses zero.

    More λ can only put a wordier response below one that it stood above, never the other way, so
    the correlation never rises and can be bisected. The published code tries λ from 0 to .95, which
    fits its units, and leaves what goes against verbosity as it is.
    """
    low, high = -1.0, 1.0
    while correlation(r, wordy, high) > 0:
        high *= 2
    while correlation(r, wordy, low) < 0:
        low *= 2
    for _ in range(100):
        middle = (low + high) / 2
        left = correlation(r, wordy, middle)
        if left == 0:
            return middle
        low, high = (middle, high) if left > 0 else (low, middle)
    return min(low, high, key=lambda x: abs(correlation(r, wordy, x)))


def correlation(
    r: Float[np.ndarray, " response"], wordy: Float[np.ndarray, " response"], x: float
) -> float:
    """Spearman(r − x·wordy, wordy); zero where nothing but rounding is left of the difference."""
    left = r - x * wordy
    if np.ptp(left) <= NOTHING * (np.abs(r).max() + abs(x) * np.abs(wordy).max()):
        return 0.0
    return spearman(left, wordy) or 0.0


def _check(left: Sequence[float]) -> None:
    for number, rho in enumerate(left):
        if abs(rho) > MOST:
            raise ValueError(
                f"attribute {number} cannot be told apart from verbosity: their rank correlation "
                f"is {rho:.2f} at best, and at most {MOST} may be left; give more, and more "
                "different, responses, or leave verbosity out"
            )
