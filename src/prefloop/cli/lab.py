"""The exact lab."""

import os
from pathlib import Path
from typing import Annotated

import typer

from prefloop.cli.app import app


@app.command()
def theory(
    full: Annotated[bool, typer.Option("--full", help="300 worlds instead of 30")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="a folder for tables and plots")] = None,
) -> None:
    """Check what the papers claim, in worlds small enough to know the truth.

    Prints every claim with its source and measured value, then regret against labels for every
    rule of pair choice. Exit code 1 if a claim fails.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    from prefloop.theory.main import run

    raise typer.Exit(run(full, out))
