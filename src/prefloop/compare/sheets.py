"""The comparison as tables: for the terminal and as Markdown, from the same cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, isinf

from rich.table import Table

from prefloop.compare.analysis import Labels, Outcome, Standing
from prefloop.compare.tune import Tuning
from prefloop.measure.intervals import Interval

NONE = "–"


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A table of text; the first column is names."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def console(self) -> Table:
        """For the terminal."""
        table = Table(title=self.title, title_justify="left")
        for place, name in enumerate(self.head):
            table.add_column(name, justify="right" if place else "left", overflow="fold")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """For table.md; a bar inside a cell is escaped."""
        rules = ["---", *["---:"] * (len(self.head) - 1)]
        lines = [
            "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
            for row in (self.head, rules, *self.rows)
        ]
        return f"**{self.title}**\n\n" + "\n".join(lines) + "\n"


def main_sheet(outcome: Outcome) -> Sheet:
    """Gold reward at one KL and at the end of the labels, beside the baseline; labels needed."""
    target = NONE if outcome.target is None else _number(outcome.target)
    head = (
        *("method", "runs", f"gold at KL {outcome.kl:.2f}", f"− {outcome.baseline}", "verdict"),
        *("gold at the end", f"− {outcome.baseline}", f"labels to gold {target}"),
    )
    rows = [_main_row(standing) for standing in outcome.standings]
    return Sheet(title="Gold reward, means over seeds with 95 % t-intervals", head=head, rows=rows)


def _main_row(standing: Standing) -> list[str]:
    runs, seeds = standing.runs, len(standing.runs.rows)
    if not seeds:
        return [runs.method, "failed", *[NONE] * 6]
    short = f" ({standing.reached} of {seeds})" if standing.reached < seeds else ""
    return [
        runs.method,
        f"{seeds} of {seeds + len(runs.failed)}",
        plus_minus(standing.gold_at_kl) + short,
        between(standing.difference_at_kl),
        verdict(standing.difference_at_kl),
        plus_minus(standing.gold_at_end),
        between(standing.difference_at_end),
        labels(standing.labels_to_target),
    ]


COSTS = (
    ("KL", "kl", 1),
    ("win rate", "win_rate", 2),
    ("length", "response_length_mean", 1),
    ("ends", "eos_rate", 2),
    ("distinct-2", "distinct_2", 2),
    ("labels", "labels_total", 0),
    ("tokens generated", "tokens_generated", 0),
    ("tokens trained", "tokens_trained", 0),
)


def cost_sheet(outcome: Outcome) -> Sheet:
    """What each method did and used besides, when its labels were spent; judges by name."""
    names = dict.fromkeys(k for s in outcome.standings for k in s.means if k.startswith("judges."))
    columns = [*((name.removeprefix("judges."), name, 2) for name in names), *COSTS]
    rows = [
        [s.runs.method, s.runs.point, *(_number(s.means.get(k), d) for _, k, d in columns)]
        for s in outcome.standings
    ]
    head = ("method", "settings", *(title for title, _, _ in columns))
    return Sheet(title="When the labels were spent, means over seeds", head=head, rows=rows)


def grid_sheet(tuning: Tuning) -> Sheet:
    """Everything that was tried; what was picked carries a star."""
    rows = [
        [
            trial.method,
            trial.point + (" *" if tuning.picks.get(trial.method) == trial.point else ""),
            "failed" if trial.failed else str(len(trial.runs)),
            _number(trial.reach, 1),
            _number(trial.gold(tuning.kl)),
            _number(trial.end),
        ]
        for trial in tuning.trials
    ]
    head = ("method", "settings", "runs", "KL reached", f"gold at KL {tuning.kl:.2f}", "at the end")
    return Sheet(title="The grid, on seeds of its own; * is what was picked", head=head, rows=rows)


def verdict(difference: Interval | None) -> str:
    """What a difference to the baseline says; one seed says nothing."""
    if difference is None:
        return NONE
    if difference.low > 0:
        return "better"
    return "worse" if difference.high < 0 else "not told apart"


def plus_minus(found: Interval | None) -> str:
    """`+0.52 ± 0.08`; one seed has no spread."""
    if found is None:
        return NONE
    half = found.high - found.value
    return _number(found.value) + (f" ± {half:.2f}" if isfinite(half) else "")


def between(found: Interval | None) -> str:
    """`+0.10 (−0.02 to +0.22)`; one seed has no limits."""
    if found is None:
        return NONE
    limits = f" ({_number(found.low)} to {_number(found.high)})" if isfinite(found.low) else ""
    return _number(found.value) + limits


def labels(found: Labels) -> str:
    """The median over seeds, and how many got there where not all did."""
    if not found.reached:
        return "not reached"
    some = f" ({found.reached} of {found.seeds})" if found.reached < found.seeds else ""
    return ("most never" if isinf(found.median) else f"{found.median:.0f}") + some


def _number(value: float | None, digits: int | None = None) -> str:
    """Rewards with their sign, everything else plain; a true minus."""
    if value is None:
        return NONE
    text = f"{value:+.2f}" if digits is None else f"{value:,.{digits}f}"
    return text.replace("-", "−").replace(",", "\u2009")
