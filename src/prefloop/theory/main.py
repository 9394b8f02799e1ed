"""`prefloop theory`: check every claim, run the regret experiments, say what was found."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from time import perf_counter

import numpy as np
from rich.console import Console
from rich.table import Table

from prefloop.measure.intervals import mean_interval
from prefloop.theory import regret
from prefloop.theory.claim import Claim
from prefloop.theory.claims import CLAIMS

SIZES = (10, 30, 100, 300, 1000)
BETAS = (0.1, 0.5)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A claim after its check."""

    topic: str
    claim: Claim
    measured: float
    seconds: float

    @property
    def holds(self) -> bool:
        return self.claim.holds(self.measured)


def run(full: bool = False, out: Path | None = None, console: Console | None = None) -> int:
    """Print claims, regret and findings, draw into `out`; 1 if a claim fails, else 0.

    `full` takes 300 worlds instead of 30.
    """
    console = console or Console(record=out is not None)
    verdicts = list(check(CLAIMS))
    console.print(claims_table(verdicts))
    setting = regret.Setting(seeds=300 if full else 30)
    outcomes = {beta: regret.compare(replace(setting, beta=beta)) for beta in BETAS}
    for beta, found in outcomes.items():
        console.print(regret_table(found, beta))
        for said in regret.findings(found):
            console.print(f"  {said}", highlight=False)
    offline = {beta: regret.offline(SIZES, replace(setting, beta=beta)) for beta in BETAS}
    console.print(offline_table(offline))
    failed = [verdict for verdict in verdicts if not verdict.holds]
    for verdict in failed:
        console.print(f"[red]does not hold:[/red] {verdict.claim.name}", highlight=False)
    console.print(f"{len(verdicts) - len(failed)} of {len(verdicts)} claims hold")
    if out is not None:
        _save(out, console, outcomes, offline)
    return 1 if failed else 0


def check(claims: Iterable[tuple[str, Claim]]) -> Iterable[Verdict]:
    """Each claim's verdict, in order."""
    for topic, claim in claims:
        began = perf_counter()
        measured = claim.check()
        seconds = perf_counter() - began
        yield Verdict(topic=topic, claim=claim, measured=measured, seconds=seconds)


def claims_table(verdicts: Sequence[Verdict]) -> Table:
    """Statement, source, what was measured, what was allowed, verdict."""
    table = Table(
        title="Claims: error measured, or excess over the bound (below zero: slack)",
        title_justify="left",
    )
    table.add_column("statement", overflow="fold", ratio=3)
    table.add_column("source", overflow="fold", ratio=1)
    for column in ("measured", "at most", "holds"):
        table.add_column(column, justify="right", no_wrap=True)
    for topic, group in groupby(verdicts, key=lambda verdict: verdict.topic):
        table.add_section()
        table.add_row(f"[bold]{topic}[/bold]")
        for found in group:
            table.add_row(
                found.claim.statement,
                found.claim.source,
                f"{found.measured:.1e}",
                f"{found.claim.tolerance:.0e}" if found.claim.tolerance else "0",
                "yes" if found.holds else "[red]NO[/red]",
            )
    return table


def regret_table(outcomes: Sequence[regret.Outcome], beta: float) -> Table:
    """Sub-optimality along the way, with standard errors, and what it cost."""
    questions, rounds = outcomes[0].questions, outcomes[0].gap.shape[1] - 1
    stops = [round(rounds * share) for share in (0.1, 0.25, 0.5, 1.0)]
    title = f"Sub-optimality J* − J(π) at β = {beta:g}, {len(outcomes[0].gap)} worlds, mean ± s.e."
    table = Table(title=title, title_justify="left")
    table.add_column("pairs asked about")
    for stop in stops:
        table.add_column(f"{stop * questions} questions", justify="right")
    for column in ("regret", "labels"):
        table.add_column(column, justify="right")
    for outcome in outcomes:
        cells = [_mean(outcome.gap[:, stop]) for stop in stops]
        labels = f"{outcome.labels.mean():.0f}"
        table.add_row(outcome.method, *cells, _mean(outcome.regret, 1), labels)
    return table


def offline_table(gaps: dict[float, np.ndarray]) -> Table:
    """Sub-optimality of offline DPO at each N, and the slope from N = 100 on."""
    table = Table(title="DPO on N answers about pairs of π₀, mean ± s.e.", title_justify="left")
    table.add_column("β")
    for size in SIZES:
        table.add_column(f"N = {size}", justify="right")
    table.add_column("log–log slope from 100 on", justify="right")
    for beta, found in gaps.items():
        cells = [_mean(column) for column in found.T]
        steepness = regret.slope(SIZES[2:], found[:, 2:])
        table.add_row(f"{beta:g}", *cells, f"{steepness:.2f}")
    return table


def _mean(values: np.ndarray, digits: int = 3) -> str:
    error = values.std(ddof=1) / np.sqrt(len(values))
    return f"{mean_interval(values).value:.{digits}f} ± {error:.{digits}f}"


def _save(
    out: Path,
    console: Console,
    outcomes: dict[float, list[regret.Outcome]],
    offline: dict[float, np.ndarray],
) -> None:
    """Draw the plots and write what was printed; matplotlib is loaded only here."""
    from prefloop.theory import plots

    out.mkdir(parents=True, exist_ok=True)
    for beta, found in outcomes.items():
        plots.draw_regret(found, beta, out / f"regret-beta-{beta:g}.svg")
    plots.draw_offline(SIZES, offline, out / "offline.svg")
    if console.record:
        (out / "theory.txt").write_text(console.export_text(), encoding="utf-8")
