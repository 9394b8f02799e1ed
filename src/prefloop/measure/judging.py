"""What can be wrong with a judge of pairs: the place it looks at, and going round in circles."""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Probabilities = Sequence[float] | Float[np.ndarray, " pair"]


def position_bias(first: Probabilities, swapped: Probabilities) -> float:
    """Mean |P(a ≻ b) + P(b ≻ a) − 1|, each asked with its winner named first: 0 is unbiased."""
    p, q = np.asarray(first, np.float64), np.asarray(swapped, np.float64)
    if p.shape != q.shape or not len(p):
        raise ValueError(f"every pair is asked both ways round, got {p.shape} and {q.shape}")
    return float(np.abs(p + q - 1).mean())


def averaged(first: float, swapped: float) -> float:
    """½ [P(a ≻ b) + 1 − P(b ≻ a)]: antisymmetric, but a bias of the logit shrinks it towards ½."""
    return (first + 1 - swapped) / 2


def averaged_logits(first: float, swapped: float) -> float:
    """σ of the mean logit of both orders: a constant bias of the logit cancels exactly."""
    p, q = np.float64(first), np.float64(1 - swapped)
    with np.errstate(divide="ignore"):
        mean = (np.log(p) - np.log1p(-p) + np.log(q) - np.log1p(-q)) / 2
    return float((1 + np.tanh(mean / 2)) / 2)


def consistent(first: float, swapped: float) -> float:
    """MT-Bench's rule: 1 or 0 where both orders agree, otherwise a tie (arXiv:2306.05685)."""
    verdicts = np.sign([first - 0.5, 0.5 - swapped])
    return float((1 + verdicts[0]) / 2) if verdicts[0] == verdicts[1] else 0.5


class Circles(NamedTuple):
    """Triples of responses to one prompt that a judge has decided about."""

    violations: int
    triples: int

    @property
    def rate(self) -> float | None:
        """Share that no ranking can agree with; by coin flips it is ¼."""
        return self.violations / self.triples if self.triples else None


def circles(p: Float[np.ndarray, "response response"]) -> Circles:
    """How many triples go a ≻ b ≻ c ≻ a; p[i, j] = P(i ≻ j), NaN unknown.

    Triples with a tie or an unknown pair in them are not counted.
    """
    n, found, triples = len(p), 0, 0
    for a, b, c in combinations(range(n), 3):
        signs = [np.sign(x - 0.5) for x in (p[a, b], p[b, c], p[c, a])]
        if all(abs(sign) == 1 for sign in signs):
            triples += 1
            found += int(abs(sum(signs)) == 3)
    return Circles(found, triples)
