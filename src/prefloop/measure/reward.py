"""How often a reward model ranks two responses as people do, and how often it could."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from prefloop.measure.clustered import Groups, clustered_share
from prefloop.measure.intervals import Interval
from prefloop.measure.overoptimization import farthest_accurate_kl

Pairs = Sequence[float | int] | Float[np.ndarray, " pair"]


def hits(margin: Pairs, p: Pairs, *, strict: bool = False) -> Float[np.ndarray, " pair"]:
    """How often a label drawn from p = P(a ≻ b) agrees with the sign of margin = r(a) − r(b).

    A tie in the score counts one half; `strict` counts it as wrong, as RewardBench and TRL do.
    """
    found, label = paired(margin, p)
    right = np.where(found > 0, label, 1 - label)
    return np.where(found == 0, 0.0 if strict else 0.5, right)


def accuracy(
    margin: Pairs, p: Pairs, groups: Groups | None = None, *, strict: bool = False
) -> Interval:
    """Mean hits over the decided pairs (p is not ½), clustered by `groups`, the pairs' prompts.

    ValueError where every label is a tie.
    """
    kept = decided(p)
    if not kept.any():
        raise ValueError(f"all {len(kept)} labels are ties, with which no ranking can agree")
    right = hits(margin, p, strict=strict)[kept]
    return clustered_share(right, None if groups is None else np.asarray(groups)[kept])


def bayes_limit(p: Pairs) -> float:
    """E max(p, 1 − p) over the decided pairs: what knowing p exactly would score.

    1 where labels are certain. For labels drawn from a law that is known, such as an oracle's.
    """
    label = np.asarray(p, np.float64)[decided(p)]
    if not len(label):
        raise ValueError("there are only ties, which have no limit")
    return float(np.maximum(label, 1 - label).mean())


def decided(p: Pairs) -> Bool[np.ndarray, " pair"]:
    """Which labels are no ties."""
    return np.asarray(np.asarray(p, np.float64) != 0.5)


class Along(NamedTuple):
    """Accuracy on the pairs of every checkpoint, in order of its KL from π₀."""

    kl: list[float]
    accuracy: list[Interval]
    farthest: float | None
    """where it first falls below the threshold; None: nowhere"""


def along(
    kl: Sequence[float],
    pairs: Sequence[tuple[Pairs, Pairs, Groups | None]],
    threshold: float = 0.75,
) -> Along:
    """Accuracy against KL: `pairs` are a checkpoint's own (margin, p, groups), labels anew.

    Human annotators agree on about .70 of such pairs, hence τ = .75 for a label that is clean.
    """
    if len(kl) != len(pairs):
        raise ValueError(f"one set of pairs for each KL, got {len(pairs)} for {len(kl)}")
    order = sorted(range(len(kl)), key=lambda i: kl[i])
    found = [accuracy(*pairs[i]) for i in order]
    far = [kl[i] for i in order]
    return Along(far, found, farthest_accurate_kl(far, [one.value for one in found], threshold))


def paired(
    margin: Pairs, p: Pairs
) -> tuple[Float[np.ndarray, " pair"], Float[np.ndarray, " pair"]]:
    """Margins and labels as arrays; ValueError unless there is a probability for every margin."""
    found, label = np.asarray(margin, np.float64), np.asarray(p, np.float64)
    if found.shape != label.shape or found.ndim != 1 or not len(found):
        raise ValueError(f"one label for each margin, got {label.shape} for {found.shape}")
    if not np.isfinite(found).all():
        raise ValueError("a margin must be finite; leave pairs without a score out")
    if not ((label >= 0) & (label <= 1)).all():
        raise ValueError(f"labels must lie in [0, 1], got {label.min():g} to {label.max():g}")
    return found, label
