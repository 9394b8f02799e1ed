"""The lab's drawings: sub-optimality against labels, online and offline."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from prefloop.report.canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, canvas, style
from prefloop.theory.offline import Gaps
from prefloop.theory.regret import Outcome

COLOURS = (BLUE, ORANGE, GREEN, PURPLE, GREY)
LOOKS = [(colour, dash) for dash in ("-", "--", ":", "-.") for colour in COLOURS]


def draw_regret(outcomes: Sequence[Outcome], beta: float, path: Path) -> None:
    """Mean sub-optimality after each question, with one standard error either side."""
    with style():
        figure, axes = canvas(8.5, 4.8)
        for outcome, (colour, dash) in zip(outcomes, LOOKS, strict=False):
            x = outcome.questions * np.arange(outcome.gap.shape[1])
            mean, error = outcome.gap.mean(0), standard_error(outcome.gap)
            axes.plot(x, mean, dash, color=colour, label=outcome.method)
            axes.fill_between(x, mean - error, mean + error, color=colour, alpha=0.08, lw=0)
        axes.set(xlabel="questions", ylabel="J* − J(π)", yscale="log")
        axes.set_title(f"β = {beta:g}, mean ± s.e. over {len(outcomes[0].gap)} worlds")
        axes.legend(fontsize=7.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
        figure.savefig(path)


def draw_offline(sizes: Sequence[int], gaps: Gaps, beta: float, path: Path) -> None:
    """Sub-optimality against the number of answers, a line for each learner."""
    with style():
        figure, axes = canvas(8.0, 4.2)
        for (name, found), (colour, dash) in zip(gaps.items(), LOOKS, strict=False):
            error = standard_error(found)
            axes.errorbar(sizes, found.mean(0), error, fmt=dash, color=colour, label=name)
        axes.set(xlabel="answers N", ylabel="J* − J(π)", xscale="log", yscale="log")
        axes.set_title(f"From N answers about pairs of π₀, β = {beta:g}")
        axes.legend(fontsize=7.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
        figure.savefig(path)


def standard_error(values: Float[np.ndarray, "seed point"]) -> Float[np.ndarray, " point"]:
    """Of the mean over seeds."""
    return np.asarray(values.std(0, ddof=1) / np.sqrt(len(values)))
