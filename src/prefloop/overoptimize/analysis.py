"""Curves, laws and limits: of best of n for each proxy, of each recipe against it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np
from jaxtyping import Float

from prefloop.measure import best_of
from prefloop.measure.intervals import Interval
from prefloop.measure.overoptimization import (
    Curve,
    Fitted,
    farthest_accurate_kl_interval,
    fit_interval,
    resampled,
)
from prefloop.overoptimize.draws import Scores
from prefloop.overoptimize.policies import Points
from prefloop.rng import stream

DRAWS = 1000
PromptRows = Float[np.ndarray, "row count"]


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Best of n by one proxy; rewards are gains over π₀ in standard deviations of its samples."""

    proxy: str
    counts: Sequence[int]
    kl: Sequence[float]
    """nats, of each count: the bound, less what equal scores take off it"""
    proxy_gain: Sequence[float]
    gold_gain: Sequence[float]
    gold_error: Sequence[float]
    """standard error over prompts"""
    accuracy: Sequence[float]
    """on two draws of best of n, of as many counts as the samples suffice for"""
    correlation: float
    """of proxy and gold within a prompt"""
    law: Fitted
    accurate: Interval
    """the farthest accurate KL"""


@dataclass(frozen=True, kw_only=True)
class Climbed:
    """One recipe against one proxy, over seeds."""

    policy: str
    proxy: str
    runs: Mapping[int, Points]
    """seed → √KL, proxy and gold gains, the latter in the units of `Chosen`"""
    law: Fitted | None = None
    """None where too few distances were measured"""
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """All of it."""

    chosen: Sequence[Chosen]
    climbed: Sequence[Climbed]
    gold_unit: float
    """gold reward in one standard deviation of π₀'s samples to a prompt"""
    threshold: float = 0.75
    """below which a proxy is not called accurate"""


def spread(scores: Scores) -> float:
    """The standard deviation of π₀'s samples to one prompt, pooled over prompts."""
    return float(np.sqrt(scores.var(axis=1, ddof=1).mean())) or 1.0


def chosen(
    name: str,
    counts: Sequence[int],
    proxies: Sequence[Scores],
    gold: Scores,
    threshold: float = 0.75,
) -> Chosen:
    """Every seed's proxy on the same samples; intervals draw seeds and prompts."""
    truth = gold / spread(gold)
    gains, golds, rights = [], [], []
    for scores in proxies:
        own = scores / spread(scores)
        gains.append(_along(counts, own, own))
        golds.append(_along(counts, truth, own))
        rights.append(_right(counts, own, truth))
    gold_rows, right_rows = np.concatenate(golds), np.concatenate(rights)
    kl = _kl(counts, proxies)
    drawn = resampled(
        stream(0, "over-optimisation", name), len(gold_rows), groups=len(proxies), draws=DRAWS
    )
    few = right_rows.shape[1]
    curves: list[Curve] = [(np.sqrt(kl), row) for row in gold_rows]
    return Chosen(
        proxy=name,
        counts=counts,
        kl=kl.tolist(),
        proxy_gain=np.concatenate(gains).mean(0).tolist(),
        gold_gain=gold_rows.mean(0).tolist(),
        gold_error=(drawn @ gold_rows / len(gold_rows)).std(0).tolist(),
        accuracy=np.nanmean(right_rows, 0).tolist(),
        correlation=float(np.mean([_correlation(scores, gold) for scores in proxies])),
        law=fit_interval(curves, "best_of_n", drawn),
        accurate=farthest_accurate_kl_interval(kl[:few], right_rows, drawn, threshold),
    )


def climbed(
    policy: str, proxy: str, runs: Mapping[int, Points], failed: Mapping[str, str], unit: float
) -> Climbed:
    """A recipe's runs against a proxy; a law of RL fitted to all of their rounds."""
    found = {s: (d, p, [g / unit for g in gold]) for s, (d, p, gold) in runs.items()}
    curves: list[Curve] = [(d, gold) for d, _, gold in found.values()]
    seen = {x for d, _ in curves for x in d if x > 0}
    law = None
    if len(seen) > 1:
        law = fit_interval(curves, "rl", resampled(stream(0, policy, proxy), len(curves)))
        law = _unsure(law) if len(curves) == 1 else law
    return Climbed(policy=policy, proxy=proxy, runs=found, law=law, failed=failed)


def _unsure(law: Fitted) -> Fitted:
    """One run has no spread to estimate: its intervals are the whole line."""

    def whole(found: Interval) -> Interval:
        return Interval(found.value, -inf, inf)

    return Fitted(
        law=law.law,
        alpha=whole(law.alpha),
        beta=whole(law.beta),
        distance=whole(law.distance),
        reward=whole(law.reward),
    )


def _along(counts: Sequence[int], values: Scores, scores: Scores) -> PromptRows:
    """Of each prompt, the gain of the values of the best of each count."""
    weights = np.array([[best_of.weights(row, n) for n in counts] for row in scores])
    means = np.einsum("pns,ps->pn", weights, values)
    return np.asarray(means - values.mean(1, keepdims=True))


def _right(counts: Sequence[int], scores: Scores, truth: Scores) -> PromptRows:
    few = [n for n in counts if 2 * n <= scores.shape[1]]
    found = [
        [best_of.accuracy(row, true, n) for n in few]
        for row, true in zip(scores, truth, strict=True)
    ]
    return np.array(found, dtype=np.float64)


def _kl(counts: Sequence[int], proxies: Sequence[Scores]) -> Float[np.ndarray, " count"]:
    """The mean over prompts and seeds, never falling."""
    rows = [[best_of.estimated_kl(row, n) for n in counts] for s in proxies for row in s]
    return np.asarray(np.maximum.accumulate(np.clip(np.mean(rows, 0), 0, None)))


def _correlation(scores: Scores, gold: Scores) -> float:
    one = scores - scores.mean(1, keepdims=True)
    other = gold - gold.mean(1, keepdims=True)
    norm = np.sqrt((one**2).sum() * (other**2).sum())
    return float((one * other).sum() / norm) if norm > 0 else 0.0
