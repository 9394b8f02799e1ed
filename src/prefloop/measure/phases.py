"""The rounds of a recipe with several phases: which belong together."""

from collections.abc import Mapping, Sequence
from typing import Any

Metrics = Sequence[Mapping[str, Any]]


def last_phase(metrics: Metrics) -> Metrics:
    """The rounds of the last phase; all of them where phases have no names."""
    name = metrics[-1].get("phase") if metrics else None
    return [row for row in metrics if row.get("phase") == name]


def last_way(metrics: Metrics) -> Metrics:
    """The last phase's way from π₀: the round it is measured from, and its own rounds.

    What came before went elsewhere, or under another reward model. A π₀ that imitated first was
    measured from the model before it; from itself it is nowhere.
    """
    mine = last_phase(metrics)
    origin = mine[-1].get("origin", 0) if mine else 0
    start = [row for row in metrics if row.get("round") == origin and row not in mine]
    return [*({**row, "kl": 0.0} if origin else row for row in start), *mine]
