"""The rounds of a recipe with several phases: which belong together."""

from collections.abc import Mapping, Sequence
from typing import Any

Metrics = Sequence[Mapping[str, Any]]


def last_phase(metrics: Metrics) -> Metrics:
    """The rounds of the last phase; all of them where phases have no names."""
    name = metrics[-1].get("phase") if metrics else None
    return [row for row in metrics if row.get("phase") == name]


def last_way(metrics: Metrics) -> Metrics:
    """The last phase's way from the start: round 0, and its own rounds.

    What came before went elsewhere, or under another reward model.
    """
    name = metrics[-1].get("phase") if metrics else None
    return [row for row in metrics if row.get("round") == 0 or row.get("phase") == name]
