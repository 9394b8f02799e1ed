"""What is left behind: table.md, results.json and overoptimization.svg."""

import json
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from prefloop import whole
from prefloop.measure.intervals import Interval
from prefloop.measure.overoptimization import Fitted
from prefloop.overoptimize.analysis import Chosen, Climbed, Outcome
from prefloop.overoptimize.request import Request
from prefloop.overoptimize.sheets import sheets


def write(out: Path, request: Request, outcome: Outcome) -> None:
    """The files, each replaced as a whole."""
    from prefloop.overoptimize.plots import draw  # matplotlib only when there is something to draw

    whole.write(out / "table.md", page(request, outcome))
    text = json.dumps(as_json(request, outcome), indent=1, ensure_ascii=False)
    whole.write(out / "results.json", text + "\n")
    draw(outcome, out / "overoptimization.svg")


def page(request: Request, outcome: Outcome) -> str:
    """table.md: how it was measured, and the tables."""
    law = request.base.sample
    said = (
        f"{request.samples} samples to each of {request.prompts} prompts, seeds 0 to "
        f"{request.seeds - 1}, temperature {law.temperature:g}, top-p {law.top_p:g}. Intervals "
        "(95 %) draw prompts, and seeds where a proxy is trained for each; one gold unit is "
        f"{outcome.gold_unit:.3f}.\n"
    )
    failed = "".join(f"- {line}\n" for line in failures(outcome))
    tables = [sheet.markdown() for sheet in sheets(outcome)]
    return "\n".join([said, *tables, *([f"**Failed**\n\n{failed}"] if failed else [])])


def failures(outcome: Outcome) -> list[str]:
    """Every run without a result, with the reason."""
    return [
        f"{one.policy}, {one.proxy}, {run}: {why}"
        for one in outcome.climbed
        for run, why in one.failed.items()
    ]


def as_json(request: Request, outcome: Outcome) -> dict[str, Any]:
    """Everything that the tables and the drawing show."""
    return {
        "samples": request.samples,
        "prompts": request.prompts,
        "seeds": request.seeds,
        "threshold": request.threshold,
        "gold_unit": outcome.gold_unit,
        "best_of": [_chosen(one) for one in outcome.chosen],
        "policies": [_climbed(one) for one in outcome.climbed],
    }


def _chosen(one: Chosen) -> dict[str, Any]:
    return {
        "proxy": one.proxy,
        "n": list(one.counts),
        "kl": list(one.kl),
        "proxy_gain": list(one.proxy_gain),
        "gold_gain": list(one.gold_gain),
        "gold_error": list(one.gold_error),
        "accuracy": list(one.accuracy),
        "correlation": one.correlation,
        "law": _law(one.law),
        "accurate_kl": _interval(one.accurate),
    }


def _climbed(one: Climbed) -> dict[str, Any]:
    return {
        "policy": one.policy,
        "proxy": one.proxy,
        "law": one.law and _law(one.law),
        "runs": {
            str(seed): {"root_kl": far, "proxy_gain": proxy, "gold_gain": gold}
            for seed, (far, proxy, gold) in one.runs.items()
        },
        "failed": dict(one.failed),
    }


def _law(fitted: Fitted) -> Mapping[str, Any]:
    return {
        "kind": fitted.law.kind,
        "alpha": _interval(fitted.alpha),
        "beta": _interval(fitted.beta),
        "peak_root_kl": _interval(fitted.distance),
        "peak_gold": _interval(fitted.reward),
    }


def _interval(found: Interval) -> dict[str, float | None]:
    """JSON has no infinity: null is never."""
    return {k: v if isfinite(v) else None for k, v in found._asdict().items()}
