"""The lab's tables: claims, regret, learning from collected answers."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from rich.box import SIMPLE
from rich.table import Table

from prefloop.measure.intervals import Interval, mean_interval
from prefloop.theory import offline, regret
from prefloop.theory.claim import Verdict


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


def regret_table(outcomes: Sequence[regret.Outcome], beta: float, what: str) -> Table:
    """Sub-optimality along the way, what it cost, and the end beside the method's baseline's."""
    questions, rounds = outcomes[0].questions, outcomes[0].gap.shape[1] - 1
    stops = [round(rounds * share) for share in (0.1, 0.25, 0.5, 1.0)]
    worlds = len(outcomes[0].gap)
    title = f"J* − J(π) after so many questions, β = {beta:g}, mean ± s.e. of {worlds} worlds"
    table = Table(title=title, title_justify="left", box=SIMPLE, padding=(0, 0, 0, 1))
    table.add_column(what, no_wrap=True)
    for stop in stops:
        table.add_column(f"{stop * questions}", justify="right", no_wrap=True)
    for column in ("regret", "labels", "best found", "− baseline's (95 %)"):
        table.add_column(column, justify="right", no_wrap=column != "best found")
    by_name = {outcome.method: outcome for outcome in outcomes}
    for outcome in outcomes:
        table.add_row(
            outcome.method,
            *(f"{outcome.gap[:, stop].mean():.3f}" for stop in stops[:-1]),
            _mean(outcome.final),
            _mean(outcome.regret, 1),
            f"{outcome.labels.mean():.0f}",
            f"{outcome.right.mean():.2f}",
            _beside(outcome, by_name[outcome.beside]),
        )
    return table


def offline_table(gaps: offline.Gaps, sizes: Sequence[int], beta: float) -> Table:
    """Sub-optimality of every learner at each N."""
    worlds = len(next(iter(gaps.values())))
    title = f"J* − J(π) from N answers about pairs of π₀, β = {beta:g}, {worlds} worlds"
    table = Table(title=title, title_justify="left", box=SIMPLE)
    table.add_column("learner", no_wrap=True)
    for size in sizes:
        table.add_column(f"N = {size}", justify="right", no_wrap=True)
    for name, found in gaps.items():
        table.add_row(name, *(_mean(column) for column in found.T))
    return table


def interval(found: Interval, digits: int = 3) -> str:
    """−0.100 (−0.200 to −0.000)"""
    value, low, high = (f"{x:+.{digits}f}" for x in found)
    return f"{value} ({low} to {high})"


def _beside(outcome: regret.Outcome, plain: regret.Outcome) -> str:
    return "" if outcome is plain else interval(regret.difference(outcome, plain))


def _mean(values: np.ndarray, digits: int = 3) -> str:
    error = values.std(ddof=1) / np.sqrt(len(values))
    return f"{mean_interval(values).value:.{digits}f} ± {error:.{digits}f}"
