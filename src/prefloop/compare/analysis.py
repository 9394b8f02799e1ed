"""What several methods came to, each over several seeds, beside a baseline."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isinf
from statistics import fmean, median
from typing import NamedTuple

from prefloop.compare.curves import Rows, gold_at, labels_to, last, reach, total
from prefloop.measure.intervals import Interval, mean_interval

LASTS = ("labels_total", "kl", "win_rate", "response_length_mean", "distinct_2", "eos_rate")
TOTALS = ("tokens_generated", "tokens_trained", "seconds_sample", "seconds_learn")


@dataclass(frozen=True, kw_only=True)
class Runs:
    """A method's reported runs by seed, whichever way they ended."""

    method: str
    point: str = ""
    """what was picked from the grid"""
    rows: Mapping[int, Rows] = field(default_factory=dict)
    """seed → metrics, of the runs that came to their end"""
    failed: Mapping[str, str] = field(default_factory=dict)
    """which run → why it has no result"""


class Labels(NamedTuple):
    """Labels until a target, over seeds."""

    median: float
    """a seed that never got there counts as infinitely many"""
    reached: int
    seeds: int


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One method's row. None: there was nothing to measure it on."""

    runs: Runs
    gold_at_kl: Interval | None
    """mean over seeds, with its t-interval"""
    reached: int
    """seeds that got to the KL"""
    difference_at_kl: Interval | None
    """to the baseline, seed by seed; None for the baseline itself"""
    gold_at_end: Interval | None
    difference_at_end: Interval | None
    labels_to_target: Labels
    means: Mapping[str, float]
    """further metrics: as measured last, or summed over rounds; means over seeds"""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The whole comparison."""

    baseline: str
    kl: float
    """where gold rewards are compared"""
    target: float | None
    """the gold reward that labels are counted to; None where the baseline has no end"""
    standings: Sequence[Standing]


def matched_kl(runs: Iterable[Rows]) -> float:
    """The KL that every run reached: the smallest of their largest. 0 without runs."""
    return min((reach(rows) for rows in runs), default=0.0)


def analyse(
    methods: Sequence[Runs], baseline: str, *, kl: float | None = None, target: float | None = None
) -> Outcome:
    """Every method beside the baseline.

    `kl` is by default the one that all runs reached, `target` the baseline's mean gold reward at
    the end of its labels.
    """
    plain = next(runs for runs in methods if runs.method == baseline)
    at = matched_kl(rows for runs in methods for rows in runs.rows.values()) if kl is None else kl
    if target is None:
        target = _mean(_ends(plain).values())
    standings = [_standing(runs, plain, at, target) for runs in methods]
    return Outcome(baseline=baseline, kl=at, target=target, standings=standings)


def _standing(runs: Runs, plain: Runs, kl: float, target: float | None) -> Standing:
    mine, theirs = _at(runs, kl), _at(plain, kl)
    is_plain = runs.method == plain.method
    return Standing(
        runs=runs,
        gold_at_kl=_interval(mine.values()),
        reached=len(mine),
        difference_at_kl=None if is_plain else _paired(mine, theirs),
        gold_at_end=_interval(_ends(runs).values()),
        difference_at_end=None if is_plain else _paired(_ends(runs), _ends(plain)),
        labels_to_target=_labels(runs, target),
        means=_means(runs),
    )


def _paired(mine: Mapping[int, float], theirs: Mapping[int, float]) -> Interval | None:
    """Mean difference over the seeds that both have, and its t-interval."""
    return _interval(mine[seed] - theirs[seed] for seed in mine if seed in theirs)


def _at(runs: Runs, kl: float) -> dict[int, float]:
    found = {seed: gold_at(rows, kl) for seed, rows in runs.rows.items()}
    return {seed: gold for seed, gold in found.items() if gold is not None}


def _ends(runs: Runs) -> dict[int, float]:
    found = {seed: last(rows, "gold_reward_mean") for seed, rows in runs.rows.items()}
    return {seed: gold for seed, gold in found.items() if gold is not None}


def _labels(runs: Runs, target: float | None) -> Labels:
    needed = [inf if target is None else labels_to(rows, target) for rows in runs.rows.values()]
    reached = sum(not isinf(labels) for labels in needed)
    return Labels(median(needed) if needed else inf, reached, len(needed))


def _means(runs: Runs) -> dict[str, float]:
    """Every metric that all of the method's runs have."""
    judges = {
        name for rows in runs.rows.values() for row in rows for name in row.get("judges") or {}
    }
    lasts = [*LASTS, *(f"judges.{name}" for name in sorted(judges))]
    found = {name: [last(rows, name) for rows in runs.rows.values()] for name in lasts}
    found |= {name: [total(rows, name) for rows in runs.rows.values()] for name in TOTALS}
    means = {name: _mean(x for x in values if x is not None) for name, values in found.items()}
    return {name: value for name, value in means.items() if value is not None}


def _interval(values: Iterable[float]) -> Interval | None:
    known = list(values)
    return mean_interval(known) if known else None


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return fmean(known) if known else None
