"""Which point of its grid each method is reported at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from prefloop.compare.curves import Rows, gold_at, last, reach


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A point of a method's grid, run on the tuning seeds."""

    method: str
    point: str
    runs: Sequence[Rows] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    """which run → why"""

    @property
    def reach(self) -> float:
        """The KL that all its runs got to; 0 where one failed."""
        return 0.0 if self.failed else min(map(reach, self.runs), default=0.0)

    @property
    def end(self) -> float | None:
        """Mean gold reward when the labels were spent."""
        return _mean([last(rows, "gold_reward_mean") for rows in self.runs])

    def gold(self, kl: float) -> float | None:
        """Mean gold reward at that KL; None where it does not get there."""
        return None if self.failed else _mean([gold_at(rows, kl) for rows in self.runs])


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What the grids came to."""

    trials: Sequence[Trial]
    kl: float
    """where their gold rewards are compared"""
    picks: Mapping[str, str]
    """method → point; a method all of whose trials failed has none"""


def pick(trials: Sequence[Trial], kl: float | None = None) -> Tuning:
    """Each method's point with the best gold reward at one KL; the earliest of equals.

    By default the largest KL that every method gets to at some point of its grid: a point that
    hardly moves is no candidate, and does not decide where the others are compared. A method that
    never gets to the KL is reported where it gets farthest.
    """
    good = [trial for trial in trials if trial.gold(0.0) is not None]
    methods = list(dict.fromkeys(trial.method for trial in good))
    if kl is None:
        kl = min((max(t.reach for t in good if t.method == m) for m in methods), default=0.0)
    picks = {m: _best([t for t in good if t.method == m], kl).point for m in methods}
    return Tuning(trials=trials, kl=kl, picks=picks)


def _best(trials: Sequence[Trial], kl: float) -> Trial:
    found = [(gold, trial) for trial in trials if (gold := trial.gold(kl)) is not None]
    if not found:
        return max(trials, key=lambda trial: trial.reach)
    return max(found, key=lambda one: one[0])[1]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None
