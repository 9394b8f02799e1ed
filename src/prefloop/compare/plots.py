"""The comparison drawn: gold reward against KL, and against labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prefloop.compare.analysis import Outcome, Runs
from prefloop.compare.curves import Rows, frontier, gold_at, reach
from prefloop.measure.health import number
from prefloop.report.canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, style

COLOURS = (BLUE, ORANGE, GREEN, PURPLE, GREY)
DASHES = ("-", "--", "-.", ":")
MARKERS = "osD^v<>pP"
Curve = tuple[Sequence[float], Sequence[float]]


def draw(outcome: Outcome, path: Path) -> None:
    """comparison.svg: a mean line a method, and faint points, one a seed and round."""
    with style():
        figure = Figure(figsize=(11.0, 4.6), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        known = [s.runs for s in outcome.standings if s.runs.rows]
        for place, runs in enumerate(known):
            look: dict[str, Any] = {
                "color": COLOURS[place % len(COLOURS)],
                "linestyle": DASHES[place // len(COLOURS) % len(DASHES)],
            }
            _method(left, right, runs, look, MARKERS[place % len(MARKERS)])
        _words(left, right, outcome)
        figure.savefig(path, metadata={"Date": None})


def by_kl(runs: Runs) -> Curve:
    """The mean frontier, as far as every seed of the method went."""
    end = min(map(reach, runs.rows.values()))
    kls = (np.linspace(0.0, end**0.5, 60) ** 2).tolist()
    means = [[gold_at(rows, min(kl, end)) for rows in runs.rows.values()] for kl in kls]
    kept = [(kl, row) for kl, row in zip(kls, means, strict=True) if None not in row]
    return [kl for kl, _ in kept], [
        float(np.mean([x for x in row if x is not None])) for _, row in kept
    ]


def by_labels(runs: Runs) -> Curve:
    """The mean over seeds of the gold reward after so many labels, linear between rounds."""
    curves = [curve for rows in runs.rows.values() if len((curve := _spent(rows))[0])]
    if not curves:
        return [], []
    end = min(float(labels[-1]) for labels, _ in curves)
    at = sorted({x for labels, _ in curves for x in labels.tolist() if x <= end})
    return at, np.mean([np.interp(at, *curve) for curve in curves], axis=0).tolist()


def _spent(
    rows: Rows,
) -> tuple[Float[np.ndarray, " round"], Float[np.ndarray, " round"]]:
    pairs = [(number(row, "labels_total"), number(row, "gold_reward_mean")) for row in rows]
    known = np.array([pair for pair in pairs if None not in pair], float).reshape(-1, 2)
    return known[:, 0], known[:, 1]


def _method(left: Axes, right: Axes, runs: Runs, look: Mapping[str, Any], marker: str) -> None:
    for axes, curve in ((left, by_kl(runs)), (right, by_labels(runs))):
        axes.plot(*curve, label=runs.method, **look)
    for rows in runs.rows.values():
        roots, gold = frontier(rows)
        faint: dict[str, Any] = {
            "color": look["color"],
            "alpha": 0.35,
            "linestyle": "",
            "markersize": 3,
        }
        left.plot(roots**2, gold, marker=marker, **faint)
        right.plot(*_spent(rows), marker=marker, **faint)


def _words(left: Axes, right: Axes, outcome: Outcome) -> None:
    left.axvline(outcome.kl, color=GREY, linewidth=1, linestyle=":")
    left.set(xlabel="KL from the initial policy, nats a sequence", ylabel="gold reward")
    right.set(xlabel="labels spent")
    if outcome.target is not None:
        right.axhline(outcome.target, color=GREY, linewidth=1, linestyle=":")
    if left.lines:
        left.figure.legend(*left.get_legend_handles_labels(), loc="outside right upper", fontsize=8)
