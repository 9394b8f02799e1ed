"""A lift to more dimensions, so that more distinct rows can be told apart than a row is wide."""

from functools import cache
from math import sqrt

import numpy as np
from jaxtyping import Float

from prefloop.rng import stream

BANDWIDTH = sqrt(2) / 2
"""half the median distance of whitened unit rows, which is √2: they are near-orthogonal"""


def lifted(
    rows: Float[np.ndarray, "row d"], size: int, seed: int
) -> Float[np.ndarray, "row lifted"]:
    """`size` random Fourier features of the rows; the rows themselves if `size` is 0.

        φ(x) = [cos Wx, sin Wx]·√(2/size),   W ~ N(0, 1/bandwidth²),   ‖φ(x)‖ = 1 exactly

    Rahimi and Recht 2007: φ(x)·φ(y) ≈ exp(−‖x − y‖²/2·bandwidth²), with an error of 1/√size. A
    linear readout of d dimensions can hold about d/2 separate counts; this one size/2.
    """
    if size == 0:
        return rows
    phases = rows @ _waves(rows.shape[1], size, seed)
    return np.concatenate([np.cos(phases), np.sin(phases)], axis=1) * sqrt(2 / size)


@cache
def _waves(width: int, size: int, seed: int) -> Float[np.ndarray, "d wave"]:
    draw = stream(seed, "lift", size, width)
    waves: np.ndarray = draw.normal(size=(width, size // 2)) / BANDWIDTH
    return waves


def check(lift: int) -> None:
    """ValueError unless that many features come in pairs of a cosine and a sine."""
    if lift < 0 or lift % 2:
        raise ValueError(f"lift must be an even number of features, or 0 for none, got {lift}")
