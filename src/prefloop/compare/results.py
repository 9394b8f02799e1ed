"""What a comparison leaves behind: table.md, results.json and comparison.svg."""

import json
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from prefloop import whole
from prefloop.compare.analysis import Outcome, Standing
from prefloop.compare.curves import Rows
from prefloop.compare.plan import Request
from prefloop.compare.sheets import Sheet, cost_sheet, grid_sheet, main_sheet
from prefloop.compare.tune import Trial, Tuning
from prefloop.measure.health import number
from prefloop.measure.intervals import Interval

CURVE = ("labels_total", "kl", "gold_reward_mean")


def write(
    out: Path, request: Request, outcome: Outcome, tuning: Tuning, notes: Sequence[str] = ()
) -> None:
    """The files, each replaced as a whole."""
    from prefloop.compare.plots import draw  # matplotlib only when there is something to draw

    whole.write(out / "table.md", page(request, outcome, tuning, notes))
    text = json.dumps(as_json(request, outcome, tuning), indent=1, ensure_ascii=False)
    whole.write(out / "results.json", text + "\n")
    draw(outcome, out / "comparison.svg")


def sheets(outcome: Outcome, tuning: Tuning) -> list[Sheet]:
    """The tables, most important first; no grid where none was tried."""
    found = [main_sheet(outcome), cost_sheet(outcome)]
    return [*found, grid_sheet(tuning)] if tuning.trials else found


def failures(outcome: Outcome, tuning: Tuning) -> list[str]:
    """Every run without a result, with the reason."""
    reported = [(s.runs.method, s.runs.failed) for s in outcome.standings]
    tried = [(t.method, t.failed) for t in tuning.trials if t.method in tuning.picks]
    return [
        f"{method}, {run}: {why}" for method, runs in reported + tried for run, why in runs.items()
    ]


def page(request: Request, outcome: Outcome, tuning: Tuning, notes: Sequence[str] = ()) -> str:
    """table.md: what was compared, the tables, and what failed."""
    said = [
        f"{request.labels} labels a run, seeds 0 to {request.seeds - 1}, testbed "
        f"{request.testbed}. Differences are to {outcome.baseline}, seed by seed. Labels to a "
        "gold reward are the median over seeds; a seed that never got there counts as infinitely "
        "many.\n",
        *(f"{note}\n" for note in notes),
        *(sheet.markdown() for sheet in sheets(outcome, tuning)),
    ]
    lost = "".join(f"- {line}\n" for line in failures(outcome, tuning))
    return "\n".join([*said, *([f"**Failed**\n\n{lost}"] if lost else [])])


def as_json(request: Request, outcome: Outcome, tuning: Tuning) -> dict[str, Any]:
    """Everything that the tables and the drawing show, and every run's curve."""
    return {
        "labels": request.labels,
        "seeds": request.seeds,
        "testbed": request.testbed,
        "baseline": outcome.baseline,
        "kl": outcome.kl,
        "target": outcome.target,
        "methods": [_standing(standing) for standing in outcome.standings],
        "tuning": {
            "kl": tuning.kl,
            "picks": dict(tuning.picks),
            "trials": [_trial(trial, tuning.kl) for trial in tuning.trials],
        },
    }


def _standing(standing: Standing) -> dict[str, Any]:
    runs, labels = standing.runs, standing.labels_to_target
    return {
        "method": runs.method,
        "settings": runs.point,
        "gold_at_kl": _interval(standing.gold_at_kl),
        "reached_kl": standing.reached,
        "difference_at_kl": _interval(standing.difference_at_kl),
        "gold_at_end": _interval(standing.gold_at_end),
        "difference_at_end": _interval(standing.difference_at_end),
        "labels_to_target": {"median": _finite(labels.median), "reached": labels.reached},
        "means": dict(standing.means),
        "runs": {str(seed): _curve(rows) for seed, rows in runs.rows.items()},
        "failed": dict(runs.failed),
    }


def _trial(trial: Trial, kl: float) -> dict[str, Any]:
    return {
        "method": trial.method,
        "settings": trial.point,
        "reach": trial.reach,
        "gold_at_kl": trial.gold(kl),
        "gold_at_end": trial.end,
        "failed": dict(trial.failed),
    }


def _curve(rows: Rows) -> list[dict[str, float | None]]:
    return [{name: number(row, name) for name in CURVE} for row in rows]


def _interval(found: Interval | None) -> dict[str, float | None] | None:
    return found and {name: _finite(value) for name, value in found._asdict().items()}


def _finite(value: float) -> float | None:
    """JSON has no infinity."""
    return value if isfinite(value) else None
