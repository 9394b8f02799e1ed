"""A run as a curve: gold reward against what it cost, in nats or in labels."""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import numpy as np
from jaxtyping import Float

from prefloop.measure.health import number
from prefloop.measure.phases import last_way

Rows = Sequence[Mapping[str, Any]]
"""the lines of a run's metrics.jsonl"""


GOLD = "gold_reward_mean"


def frontier(
    rows: Rows, name: str = GOLD
) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]:
    """√KL, increasing, and the gold reward (or another metric) there; equal KLs are averaged.

    Sorted by KL, not by round: near its end a run may step back. An estimate below zero counts as
    zero. √KL, because the reward of a policy that moved little is linear in it (Gao et al. 2022,
    arXiv:2210.10760). Of a recipe with several phases it is the last one's way from the start.
    """
    points = np.array(_known(last_way(rows), "kl", name)).reshape(-1, 2)
    roots, place = np.unique(np.sqrt(points[:, 0].clip(0)), return_inverse=True)
    count = np.bincount(place, minlength=len(roots))
    return roots, np.bincount(place, points[:, 1], minlength=len(roots)) / count


def reach(rows: Rows, name: str = GOLD) -> float:
    """The largest KL at which the run was measured; 0 where it never was."""
    roots, _ = frontier(rows, name)
    return float(roots[-1] ** 2) if len(roots) else 0.0


def gold_at(rows: Rows, kl: float, name: str = GOLD) -> float | None:
    """Gold reward, or another metric, at that KL; None beyond the last at which it was measured.

    Linear in √KL between measurements.
    """
    roots, gold = frontier(rows, name)
    if not len(roots) or kl > roots[-1] ** 2 * (1 + 1e-9):
        return None
    return float(np.interp(kl**0.5, roots, gold))


def labels_to(rows: Rows, target: float) -> float:
    """Labels spent when the gold reward first was `target`, linear between rounds; inf if never."""
    points = _known(rows, "labels_total", GOLD)
    after = next((i for i, (_, gold) in enumerate(points) if gold >= target), None)
    if after is None:
        return inf
    (x, low), (y, high) = points[max(0, after - 1)], points[after]
    return y if after == 0 else x + (y - x) * (target - low) / (high - low)


def last(rows: Rows, name: str) -> float | None:
    """A metric as it was measured last; a judge's as `judges.vader`."""
    section, _, key = name.rpartition(".")
    values = [number((row.get(section) or {}) if section else row, key) for row in rows]
    return next((value for value in reversed(values) if value is not None), None)


def total(rows: Rows, name: str) -> float | None:
    """The sum of a metric over the rounds; None where no round has it."""
    values = _known(rows, name)
    return sum(value for (value,) in values) if values else None


def _known(rows: Rows, *names: str) -> list[tuple[float, ...]]:
    """The rows in which every one of the metrics has a value."""
    values = [[number(row, name) for name in names] for row in rows]
    return [tuple(x for x in row if x is not None) for row in values if None not in row]
