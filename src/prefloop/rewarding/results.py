"""What an evaluation leaves behind: numbers, and two drawings."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from prefloop.measure.annotators import Agreement
from prefloop.measure.calibration import Calibration
from prefloop.measure.intervals import Interval
from prefloop.measure.lengths import HeatMap
from prefloop.measure.reward import Along
from prefloop.report.canvas import BLUE, GREY, canvas, style
from prefloop.rewarding.evaluate import Evaluation


def write(
    out: Path,
    found: Evaluation,
    *,
    sections: dict[str, tuple[int, Interval]] | None = None,
    annotators: Agreement | None = None,
    path: Along | None = None,
) -> None:
    """evaluation.json, calibration.svg, and lengths.svg where prompts have correlations."""
    out.mkdir(parents=True, exist_ok=True)
    said: dict[str, Any] = dict(found.json)
    if sections:
        said["sections"] = {k: {"pairs": n, **i._asdict()} for k, (n, i) in sections.items()}
    if annotators:
        said["annotators"] = asdict(annotators) | {"circles": annotators.circles._asdict()}
    if path:
        accuracy = [i._asdict() for i in path.accuracy]
        said["by_kl"] = {"kl": path.kl, "accuracy": accuracy, "farthest": path.farthest}
    (out / "evaluation.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    draw_calibration(found.calibration, out / "calibration.svg")
    shown = found.length.heat_map() if found.length else None
    if shown:
        draw_lengths(shown, out / "lengths.svg")


def draw_calibration(found: Calibration, path: Path) -> None:
    """Accuracy against confidence; on the diagonal σ(Δr) means what it says."""
    with style():
        figure, axes = canvas()
        axes.plot([0.5, 1], [0.5, 1], color=GREY, linewidth=1)
        x, y = [b.confidence for b in found.bins], [b.accuracy for b in found.bins]
        most = max(b.count for b in found.bins)
        axes.scatter(x, y, s=[10 + 90 * b.count / most for b in found.bins], color=BLUE)
        axes.set(xlabel="confidence σ(|Δr|)", ylabel="accuracy; larger dots, more pairs")
        axes.set(xlim=(0.49, 1.01), ylim=(min(0.45, *y) - 0.02, 1.01))
        figure.savefig(path, metadata={"Date": None})


def draw_lengths(found: HeatMap, path: Path) -> None:
    """The guidebook's heat map: prompts by correlation of length and reward, and by mean length."""
    with style():
        figure, axes = canvas()
        _mesh(axes, found)
        axes.axhline(0, color=GREY, linewidth=1, linestyle=":")
        axes.set(xlabel="mean length of a prompt's responses, characters")
        axes.set(ylabel="correlation of length and reward")
        figure.savefig(path, metadata={"Date": None})


def _mesh(axes: Axes, found: HeatMap) -> None:
    shade = np.where(found.counts > 0, found.counts, np.nan)
    drawn = axes.pcolormesh(found.lengths, found.correlations, shade, cmap="Blues", vmin=0)
    axes.figure.colorbar(drawn, ax=axes, label="prompts")
