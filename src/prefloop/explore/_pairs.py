"""What members or features say about pairs, and which pair says it loudest.

Of equal pairs the earliest wins, so that ties are decided without randomness.
"""

import numpy as np
from jaxtyping import Float

Pairs = Float[np.ndarray, "candidate candidate"]
Each = Float[np.ndarray, " candidate"]


def gaps(
    scores: Float[np.ndarray, "member candidate"],
) -> Float[np.ndarray, "member candidate candidate"]:
    """What each member thinks of r_i − r_j."""
    return np.asarray(scores[:, :, None] - scores[:, None, :])


def disagreement(scores: Float[np.ndarray, "member candidate"]) -> Pairs:
    """The members' variance of r_i − r_j, by M − 1."""
    return np.asarray(gaps(scores).var(0, ddof=1))


def distances(features: Float[np.ndarray, "candidate feature"], place: int) -> Each:
    """‖φ_i − φ_place‖ of every candidate i."""
    return np.asarray(np.sqrt(((features - features[place]) ** 2).sum(1)))


def widest(values: Pairs) -> tuple[int, int]:
    """The pair a < b of the largest value."""
    above, right = np.triu_indices(len(values), k=1)
    found = int(values[above, right].argmax())
    return int(above[found]), int(right[found])


def largest_other(values: Each, first: int) -> int:
    """The candidate of the largest value, `first` excepted."""
    return int(np.where(np.arange(len(values)) == first, -np.inf, values).argmax())
