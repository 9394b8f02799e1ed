"""The guidebook's central figure: proxy and gold reward against √KL."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prefloop.measure.overoptimization import Law
from prefloop.overoptimize.analysis import Chosen, Climbed, Outcome
from prefloop.report.canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, style

COLOURS = (ORANGE, GREEN, BLUE, PURPLE, GREY)
MARKERS = "osD^v<>pP"
WAYS = ("-", "-.", ":", (0, (5, 1)))
"""a dash for each policy"""


def draw(outcome: Outcome, path: Path) -> None:
    """overoptimization.svg: best of n, how right the proxies stay, and the policies if any."""
    with style():
        count = 3 if outcome.climbed else 2
        figure = Figure(figsize=(4.6 * count + 1.6, 4.4), layout="constrained")
        panels = figure.subplots(1, count)
        looks = _looks([one.proxy for one in outcome.chosen])
        for one in outcome.chosen:
            _rewards(panels[0], one, looks[one.proxy])
            _accuracy(panels[1], one, looks[one.proxy])
        _words(panels[0], "best of n by a proxy: gold, and (dashed) the proxy")
        panels[1].axhline(outcome.threshold, color=GREY, linewidth=1, linestyle=":")
        panels[1].set(
            xlabel="√KL from π₀, √nats",
            ylabel="right about two such draws",
            title="accuracy on its own pairs",
        )
        if outcome.climbed:
            _policies(panels[2], outcome.climbed, looks)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
        figure.savefig(path, metadata={"Date": None})


def _looks(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    return {
        name: {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}
        for i, name in enumerate(names)
    }


def _rewards(axes: Axes, one: Chosen, look: dict[str, Any]) -> None:
    """Gold with its error and its law; the proxy's own opinion, dashed and faint."""
    far = np.sqrt(one.kl)
    axes.errorbar(
        far, one.gold_gain, yerr=1.96 * np.array(one.gold_error), linestyle="", **look, capsize=2
    )
    axes.plot([], [], label=one.proxy, linestyle="-", **look)
    _law(axes, one.law.law, float(far[-1]), color=look["color"])
    axes.plot(far, one.proxy_gain, linestyle="--", color=look["color"], alpha=0.45, linewidth=1.2)


def _accuracy(axes: Axes, one: Chosen, look: dict[str, Any]) -> None:
    far = np.sqrt(one.kl[: len(one.accuracy)])
    axes.plot(far, one.accuracy, **look)


def _policies(axes: Axes, found: Sequence[Climbed], looks: dict[str, dict[str, Any]]) -> None:
    ways = {name: WAYS[i % len(WAYS)] for i, name in enumerate({c.policy: 0 for c in found})}
    for one in found:
        look = looks[one.proxy]
        for far, _, gold in one.runs.values():
            axes.plot(far, gold, linestyle="", marker=look["marker"], color=look["color"], ms=3)
            axes.plot(far, gold, linestyle=ways[one.policy], color=look["color"], linewidth=1)
    for name, way in ways.items():
        axes.plot([], [], color=GREY, linestyle=way, label=name)
    axes.legend(fontsize=8)
    _words(axes, "policies that climb it: gold")


def _law(axes: Axes, law: Law, end: float, **look: Any) -> None:
    far = np.linspace(0.0, end, 100)
    axes.plot(far, [law.at(float(d)) for d in far], **look)


def _words(axes: Axes, title: str) -> None:
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set(xlabel="√KL from π₀, √nats", ylabel="gain, standard deviations at π₀", title=title)
