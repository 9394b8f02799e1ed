"""Compare methods: try their grids, make the reported runs, say what came out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from prefloop.compare.analysis import Outcome, Runs, analyse
from prefloop.compare.curves import last
from prefloop.compare.grid import OWN, read_axis
from prefloop.compare.methods import read_methods
from prefloop.compare.plan import Job, Plan, Request
from prefloop.compare.results import write
from prefloop.compare.tune import Trial, Tuning, pick
from prefloop.compare.work import Done, work
from prefloop.config import ConfigError

__all__ = ["Against", "Plan", "Request", "compare", "described", "read_axis", "read_methods"]

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Against:
    """What methods are held against; every part has a default that the runs decide."""

    baseline: str | None = None
    """the first method"""
    kl: float | None = None
    """the largest KL that all runs reached"""
    target: float | None = None
    """the gold reward to count labels to: the baseline's at the end"""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a comparison came to; `out` holds the runs, the tables and the drawing."""

    out: Path
    outcome: Outcome
    tuning: Tuning


def compare(
    request: Request,
    out: Path,
    *,
    against: Against | None = None,
    workers: int = 1,
    say: Say = print,
) -> Comparison:
    """Make every run that is not there yet, and write table.md, results.json and comparison.svg.

    The same request on the same folder continues; another one is refused with ConfigError.
    """
    against, plan = against or Against(), Plan.of(request, out)
    baseline = _baseline(request, against)
    if workers < 1:
        raise ConfigError(f"workers must be at least 1, got {workers}")
    plan.commit()
    for line in described(plan):
        say(line)
    tuning = _tune(plan, _worked(plan.trials, workers, say), against.kl)
    reported = _worked(plan.reported(tuning.picks), workers, say)
    methods = _runs(plan, tuning, reported)
    outcome = analyse(methods, baseline, kl=against.kl, target=against.target)
    write(out, request, outcome, tuning, plan.notes)
    return Comparison(out=out, outcome=outcome, tuning=tuning)


def described(plan: Plan) -> list[str]:
    """What will be run, in words."""
    request, trials = plan.request, len(plan.trials)
    lines = [
        f"{len(plan.entries)} methods, {request.labels} labels a run, testbed {request.testbed}: "
        f"{trials} runs to try the grids, {request.seeds * len(plan.entries)} to report"
    ]
    for entry in plan.entries:
        config, points = entry.config, ", ".join(entry.points)
        lines.append(
            f"  {entry.method.name}: {config.rounds} rounds of {config.sample.prompts} prompts; "
            f"tried at {points}"
        )
    return [*lines, *plan.notes]


def _baseline(request: Request, against: Against) -> str:
    names = [method.name for method in request.methods]
    if against.baseline is None:
        return names[0]
    if against.baseline not in names:
        raise ConfigError(f"baseline must be one of {', '.join(names)}, got {against.baseline!r}")
    return against.baseline


def _worked(jobs: Sequence[Job], workers: int, say: Say) -> list[Done]:
    """The jobs' outcomes; a line as each comes."""
    began, count = monotonic(), 0

    def told(done: Done) -> None:
        nonlocal count
        count += 1
        minutes = (monotonic() - began) / 60
        say(f"[{count}/{len(jobs)}, {minutes:.0f} min] {_line(done)}")

    try:
        return work(jobs, workers, told)
    except KeyboardInterrupt:
        say("stopped; the same command continues where this one was")
        raise


def _line(done: Done) -> str:
    job, rows = done.job, done.rows
    name = f"{job.method} · {job.point} · seed {job.seed}"
    if not done.is_good:
        return f"{name}: failed: {done.reason}"
    shown = (
        ("gold", "gold_reward_mean", "+.2f"),
        ("KL", "kl", ".1f"),
        ("labels", "labels_total", ".0f"),
    )
    found = [(title, last(rows, key), form) for title, key, form in shown]
    return f"{name}: " + "  ".join(f"{t} {v:{form}}" for t, v, form in found if v is not None)


def _tune(plan: Plan, done: Sequence[Done], kl: float | None) -> Tuning:
    """The picks; a method that had no choice keeps its only point."""
    trials = [
        _trial(entry.method.name, point, done)
        for entry in plan.entries
        for point in entry.points
        if len(entry.points) > 1
    ]
    tuning = pick(trials, kl)
    only = {e.method.name: next(iter(e.points), OWN) for e in plan.entries if len(e.points) == 1}
    return Tuning(trials=trials, kl=tuning.kl, picks={**tuning.picks, **only})


def _trial(method: str, point: str, done: Sequence[Done]) -> Trial:
    mine = [d for d in done if (d.job.method, d.job.point) == (method, point)]
    return Trial(
        method=method,
        point=point,
        runs=[d.rows for d in mine if d.is_good],
        failed={f"{point} · seed {d.job.seed}": d.reason for d in mine if not d.is_good},
    )


def _runs(plan: Plan, tuning: Tuning, done: Sequence[Done]) -> list[Runs]:
    """Every method's reported runs; of a method that had none, why its trials failed."""
    found = []
    for name in (entry.method.name for entry in plan.entries):
        mine = [d for d in done if d.job.method == name]
        failed = {f"seed {d.job.seed}": d.reason for d in mine if not d.is_good}
        if name not in tuning.picks:
            tried = [t.failed for t in tuning.trials if t.method == name]
            failed = {run: why for trial in tried for run, why in trial.items()}
        rows = {d.job.seed: d.rows for d in mine if d.is_good}
        point = tuning.picks.get(name, "none")
        found.append(Runs(method=name, point=point, rows=rows, failed=failed))
    return found
