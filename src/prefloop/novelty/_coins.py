"""The coins that visits toss: each its own, for good."""

import numpy as np
from jaxtyping import Float

from prefloop.rng import stream

BLOCK = 1024
"""visits that share a random stream"""


def tossed(
    seed: int, rank: int, first: int, visits: int, coins: int
) -> Float[np.ndarray, "visit coin"]:
    """±1 for the visits first, first + 1, …: a function of seed, rank and the visit's number.

    So a visit's coins are never redrawn (redrawn ones average out, and every count reads as
    infinite), and no two processes toss the same ones (then two visits read as one).
    """
    if not visits:
        return np.zeros((0, coins))
    blocks = range(first // BLOCK, (first + visits - 1) // BLOCK + 1)
    bits = [
        stream(seed, "coins", rank, block).integers(2, size=(BLOCK, coins), dtype=np.int8)
        for block in blocks
    ]
    start = first - blocks[0] * BLOCK
    return 2.0 * np.concatenate(bits)[start : start + visits] - 1.0
