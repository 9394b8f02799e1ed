"""Shares and means of rows that come in clusters, such as several pairs of one prompt."""

from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from prefloop.measure.intervals import Interval, Values, t_quantile

Groups = Sequence[Any] | np.ndarray
"""which cluster each row is of"""


def clustered_share(values: Values, groups: Groups | None = None, level: float = 0.95) -> Interval:
    """The mean of values in [0, 1], with an interval that rows of one cluster do not narrow.

        n_eff = x̄ (1 − x̄) / V,   V = G/(G−1) · Σ_g (Σ_{i in g} (x_i − x̄))² / n²

    Wilson's interval at n_eff, with Student's quantile of G − 1 (Korn and Graubard 1998): it stays
    inside [0, 1] and is no point at a share of 1. n_eff is at most the number of rows. Without
    `groups` every row is a cluster of its own; a single cluster says nothing of its like, [0, 1].
    """
    x, sums, counts = _sums(values, groups)
    if x.min() < 0 or x.max() > 1:
        raise ValueError(f"a share is of values in [0, 1], got {x.min():g} to {x.max():g}")
    share, clusters = float(x.mean()), len(sums)
    if clusters == 1:
        return Interval(share, 0.0, 1.0)
    variance = clusters / (clusters - 1) * float(((sums - share * counts) ** 2).sum()) / len(x) ** 2
    spread, most = share * (1 - share), float(clusters if share in (0.0, 1.0) else len(x))
    n = min(most, spread / variance) if variance > 0 else most
    return _wilson(share, n, t_quantile((1 + level) / 2, clusters - 1))


def bootstrapped(
    values: Values,
    groups: Groups | None,
    rng: np.random.Generator,
    *,
    draws: int = 1000,
    level: float = 0.95,
) -> Interval:
    """The mean, between percentiles of the means of clusters drawn with replacement."""
    x, sums, counts = _sums(values, groups)
    drawn = rng.integers(0, len(sums), size=(draws, len(sums)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(x.mean()), float(low), float(high))


def numbered(groups: Groups) -> Int[np.ndarray, " row"]:
    """Clusters as numbers, counted from 0 by first appearance."""
    place: dict[Any, int] = {}
    return np.array([place.setdefault(group, len(place)) for group in groups], dtype=np.int64)


def _sums(
    values: Values, groups: Groups | None
) -> tuple[Float[np.ndarray, " row"], Float[np.ndarray, " cluster"], Float[np.ndarray, " cluster"]]:
    """The values, and each cluster's sum and count."""
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not len(x) or not np.isfinite(x).all():
        raise ValueError(f"values must be a non-empty list of finite numbers, got {x.shape}")
    which = np.arange(len(x)) if groups is None else numbered(groups)
    if len(which) != len(x):
        raise ValueError(f"one group for each value, got {len(which)} for {len(x)}")
    return x, np.bincount(which, x), np.bincount(which).astype(np.float64)


def _wilson(share: float, n: float, t: float) -> Interval:
    centre = (share + t * t / (2 * n)) / (1 + t * t / n)
    half = t * sqrt(share * (1 - share) / n + t * t / (4 * n * n)) / (1 + t * t / n)
    return Interval(share, max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)))
