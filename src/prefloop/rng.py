"""Named, order-independent randomness.

Every draw in a run names the stream it comes from, so that a run killed anywhere and continued
draws what it would have drawn, and so that work may be done in any order.
"""

from hashlib import sha256

import numpy as np


def key(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the stream of that name; different names give independent streams."""
    text = "/".join([str(seed), *map(str, names)])
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big") >> 1


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """The random stream of that name: `stream(0, "sample", round, chunk)`."""
    return np.random.Generator(np.random.Philox(key(seed, *names)))
