"""Does a reward model like long responses? Correlations pooled, within prompts, given labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from prefloop.measure.clustered import Groups, numbered

Values = Sequence[float | int] | Float[np.ndarray, " row"]


def pearson(x: Values, y: Values) -> float | None:
    """Linear correlation; None where one of the two does not vary, or there are fewer than two."""
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"two lists of as many numbers, got {a.shape} and {b.shape}")
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return float(np.clip(a @ b / scale, -1, 1)) if scale > 0 else None


def spearman(x: Values, y: Values) -> float | None:
    """Correlation of ranks, ties sharing their mean rank."""
    return pearson(_ranks(x), _ranks(y))


def partial(x: Values, y: Values, given: Values) -> float | None:
    """Correlation of x and y once what `given` tells of both, linearly, is taken away.

    (r_xy − r_xg r_yg) / √((1 − r_xg²)(1 − r_yg²)). Of length, reward and the label: what the model
    likes in length beyond what people do.
    """
    xy, xg, yg = pearson(x, y), pearson(x, given), pearson(y, given)
    if xy is None:
        return None
    xg, yg = xg or 0.0, yg or 0.0
    left = (1 - xg**2) * (1 - yg**2)
    return (xy - xg * yg) / float(np.sqrt(left)) if left > 1e-12 else None


@dataclass(frozen=True, kw_only=True)
class HeatMap:
    """How many prompts have such a correlation of length and reward at such a mean length."""

    counts: Int[np.ndarray, "correlation length"]
    correlations: Float[np.ndarray, " edge"]
    lengths: Float[np.ndarray, " edge"]


@dataclass(frozen=True, kw_only=True)
class LengthBias:
    """Length against reward. Pooled and within prompts differ: long questions have long answers."""

    pearson: float | None
    spearman: float | None
    pearson_within: float | None
    """of lengths and rewards less their prompt's means"""
    spearman_within: float | None
    """mean over prompts of each one's own"""
    by_prompt: Float[np.ndarray, " prompt"]
    """each prompt's Pearson correlation"""
    mean_length: Float[np.ndarray, " prompt"]
    few: int
    """prompts with too few responses to have a correlation of their own"""
    undefined: int
    """prompts whose lengths or rewards are all equal"""

    def heat_map(self, *, bins: tuple[int, int] = (10, 10)) -> HeatMap | None:
        """The guidebook's picture; None where no prompt has a correlation."""
        if not len(self.by_prompt):
            return None
        longest = max(float(self.mean_length.max()), 1.0)
        counts, r, length = np.histogram2d(
            self.by_prompt, self.mean_length, bins=bins, range=[[-1, 1], [0, longest]]
        )
        return HeatMap(counts=counts.astype(np.int64), correlations=r, lengths=length)


def length_bias(length: Values, reward: Values, prompts: Groups, *, least: int = 3) -> LengthBias:
    """Pooled, and within each prompt of at least `least` responses.

    Two responses correlate by ±1 whatever they are, and few are noise: give 8 or more a prompt for
    a heat map to be read closely.
    """
    x, y, which = np.asarray(length, np.float64), np.asarray(reward, np.float64), numbered(prompts)
    members = [np.flatnonzero(which == g) for g in range(int(which.max()) + 1)]
    enough = [rows for rows in members if len(rows) >= least]
    own = [(pearson(x[rows], y[rows]), spearman(x[rows], y[rows]), rows) for rows in enough]
    known = [(r, rank, rows) for r, rank, rows in own if r is not None and rank is not None]
    return LengthBias(
        pearson=pearson(x, y),
        spearman=spearman(x, y),
        pearson_within=pearson(_centred(x, which), _centred(y, which)),
        spearman_within=float(np.mean([rank for _, rank, _ in known])) if known else None,
        by_prompt=np.array([r for r, _, _ in known]),
        mean_length=np.array([x[rows].mean() for _, _, rows in known]),
        few=len(members) - len(enough),
        undefined=len(enough) - len(known),
    )


def _centred(
    x: Float[np.ndarray, " row"], which: Int[np.ndarray, " row"]
) -> Float[np.ndarray, " row"]:
    means = np.bincount(which, x) / np.bincount(which)
    left = x - means[which]
    return np.asarray(np.where(np.abs(left) > 1e-12 * np.abs(x), left, 0.0))


def _ranks(x: Values) -> Float[np.ndarray, " row"]:
    values = np.asarray(x, np.float64)
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return np.asarray((last - (counts - 1) / 2)[place])
