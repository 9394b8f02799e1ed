"""The lab's drawings: sub-optimality against labels, online and offline."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from prefloop.report.canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, canvas, style
from prefloop.theory.regret import Outcome

LOOKS = [(colour, dash) for dash in ("-", "--") for colour in (BLUE, ORANGE, GREEN, PURPLE, GREY)]


def draw_regret(outcomes: Sequence[Outcome], beta: float, path: Path) -> None:
    """Mean sub-optimality after each question, with one standard error either side."""
    with style():
        figure, axes = canvas(7.0, 4.0)
        for outcome, (colour, dash) in zip(outcomes, LOOKS, strict=False):
            x = outcome.questions * np.arange(outcome.gap.shape[1])
            mean, error = outcome.gap.mean(0), standard_error(outcome.gap)
            axes.plot(x, mean, dash, color=colour, label=outcome.method)
            axes.fill_between(x, mean - error, mean + error, color=colour, alpha=0.12, lw=0)
        axes.set(xlabel="questions", ylabel="J* − J(π)", yscale="log")
        axes.set_title(f"β = {beta:g}, mean ± s.e. over {len(outcomes[0].gap)} worlds")
        axes.legend(fontsize=8)
        figure.savefig(path)


def draw_offline(
    sizes: Sequence[int], gaps: Mapping[float, Float[np.ndarray, "seed size"]], path: Path
) -> None:
    """Sub-optimality of offline DPO against the number of answers, a line for each β."""
    with style():
        figure, axes = canvas(6.0, 3.6)
        for (beta, found), (colour, _) in zip(gaps.items(), LOOKS, strict=False):
            axes.errorbar(
                sizes, found.mean(0), standard_error(found), color=colour, label=f"β = {beta:g}"
            )
        axes.set(xlabel="answers N", ylabel="J* − J(π)", xscale="log", yscale="log")
        axes.set_title("DPO on N answers about pairs of π₀")
        axes.legend(fontsize=8)
        figure.savefig(path)


def standard_error(values: Float[np.ndarray, "seed point"]) -> Float[np.ndarray, " point"]:
    """Of the mean over seeds."""
    return np.asarray(values.std(0, ddof=1) / np.sqrt(len(values)))
