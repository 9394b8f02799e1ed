"""The application that commands belong to, and what they share."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any

import typer

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin starve their neighbours

app = typer.Typer(
    name="prefloop",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="""Align a language model with preferences in a closed loop:
    sample → choose → ask → learn → measure.

    Start with [bold]prefloop demo[/] (a tiny model, minutes on a laptop), then
    [bold]prefloop run online_dpo model.path=… data.prompts=… ask.oracle=…[/]""",
)

Settings = Annotated[
    list[str] | None,
    typer.Argument(
        help="settings as section.name=value, such as learn.lr=1e-6", metavar="[KEY=VALUE]..."
    ),
]


class Errors:
    """Mistakes in what was given are told in a sentence; anything else keeps its traceback."""

    def __enter__(self) -> Any:
        from rich.console import Console

        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        return Console()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        names = (
            "ConfigError",
            "FolderError",
            "LedgerError",
            "OracleError",
            "AskError",
            "TemplateError",
        )
        expected = kind is not None and kind.__name__ in names
        if expected or isinstance(
            error, ValueError | FileNotFoundError | FloatingPointError | MemoryError
        ):
            typer.secho(f"prefloop: {error}", fg="red", err=True)
            raise typer.Exit(2) from error


@contextmanager
def bar(console: Any, what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for the length of a `with`, to be told how many are done of how many."""
    from rich.progress import Progress

    with Progress(console=console, transient=True) as shown:
        task = shown.add_task(what, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)


def say(console: Any) -> Callable[[str], None]:
    """A line as it is, with nothing marked up and nothing broken."""
    return partial(console.print, highlight=False, markup=False, soft_wrap=True)
