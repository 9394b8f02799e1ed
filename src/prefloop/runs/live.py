"""Live progress in the terminal."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn


class Live:
    """A bar for the stage at hand, and a line for every round."""

    def __init__(self, console: Console, rounds: int) -> None:
        self.console = console
        self.rounds = rounds
        self._began = monotonic()
        self._stage_began = self._began
        self._tokens = 0
        self._first: int | None = None
        self._numbers = ""
        self._bar = Progress(
            TextColumn("[bold]{task.fields[round]}"),
            TextColumn("{task.description:9}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]:>12}  {task.fields[left]}  {task.fields[numbers]}"),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task(
            "starting", total=None, round="", rate="", left="", numbers=""
        )

    @contextmanager
    def shown(self) -> Iterator["Live"]:
        """Draw while the block runs."""
        with self._bar:
            yield self

    def begin(self, round: int, stage: str, total: int, unit: str) -> None:
        self._first = round if self._first is None else self._first
        self._stage_began, self._tokens = monotonic(), 0
        self._bar.reset(
            self._task,
            description=stage,
            total=total,
            round=f"round {round}/{self.rounds}",
            rate="",
            left=self._left(round),
            numbers=self._numbers,
        )

    def advance(self, units: int, tokens: int = 0) -> None:
        self._tokens += tokens
        rate = self._tokens / max(1e-9, monotonic() - self._stage_began)
        shown = f"{rate:,.0f} tok/s" if self._tokens else ""
        self._bar.update(self._task, advance=units, rate=shown)

    def measured(self, metrics: Mapping[str, Any]) -> None:
        self._numbers = line(metrics)
        self.console.print(
            f"[bold]round {metrics['round']:>3}[/]  {self._numbers}", highlight=False
        )

    def note(self, text: str) -> None:
        self.console.print(text, style="dim", highlight=False, markup=False)

    def _left(self, round: int) -> str:
        """Time left, from the rounds that are done; nothing before the first is."""
        done = round - (self._first or 0)
        if done < 1:
            return ""
        seconds = (monotonic() - self._began) / done * (self.rounds - round + 1)
        return f"{seconds / 60:.0f} min left" if seconds > 90 else f"{seconds:.0f} s left"


def line(metrics: Mapping[str, Any]) -> str:
    """A round in one line: labels, reward, wins, KL."""
    shown = (
        ("labels", "labels_total", "{:>5.0f}"),
        ("gold", "gold_reward_mean", "{:+.2f}"),
        ("P(pos)", "gold_positive", "{:.2f}"),
        ("proxy", "proxy_reward_mean", "{:+.2f}"),
        ("win", "win_rate", "{:.2f}"),
        ("KL", "kl", "{:.1f}"),
        ("accuracy", "eval_accuracy", "{:.2f}"),
        ("loss", "loss", "{:.3f}"),
    )
    found = [(name, form, metrics.get(key)) for name, key, form in shown]
    return "  ".join(
        f"{name} {form.format(value)}" for name, form, value in found if value is not None
    )
