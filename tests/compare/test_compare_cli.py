"""`prefloop compare` on the command line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import inside
from prefloop.cli import app


def call(*arguments: str) -> Result:
    """`prefloop compare` with these arguments, whose runs are made up."""
    with inside.started_here():
        return CliRunner().invoke(app, ["compare", *arguments], env={"COLUMNS": "300"})


def words(settings: dict[str, Any]) -> list[str]:
    return [f"{key}={json.dumps(value)}" for key, value in settings.items()]


def test_a_comparison_ends_in_tables_and_says_where_it_is(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = ["--methods", "online_dpo,best_random", "--labels", "8", "--seeds", "2"]
    found = call(*command, *words(settings), "--grid", "learn.lr=1x,2x", "--out", str(out))
    assert found.exit_code == 0, found.output
    for says in (
        "2 rounds of 4 prompts",
        "[1/4",
        "verdict",
        "tokens generated",
        "The grid",
        str(out),
    ):
        assert says in found.output, says
    assert (out / "table.md").exists()


def test_a_dry_run_says_what_would_be_run_and_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = call("--methods", "online_dpo,iterative_dpo", "--dry-run", "--out", str(out))
    assert found.exit_code == 0, found.output
    for says in ("10 runs to try the grids, 10 to report", "12 rounds of 128", "3 rounds of 512"):
        assert says in found.output, says
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--methods", "online_dpp"], "did you mean 'online_dpo'?"),
        (["--methods", "sft"], "has 0 phases that ask"),
        (["--testbed", "stiled"], "testbed must be one of plain, styled"),
        (["--grid", "learn.lr"], "looks like learn.lr=0.5x,1x,2x"),
        (["--baseline", "dpo"], "baseline must be one of"),
        (["--workers", "0"], "workers must be at least 1, got 0"),
        (["--labels", "1543"], "1536 can"),
        (["learn.lrr=1"], "did you mean 'lr'?"),
        (["seed=1"], "--seeds"),
    ],
)
def test_mistakes_are_sentences(arguments: list[str], says: str, tmp_path: Path) -> None:
    found = call(*arguments, "--out", str(tmp_path / "out"))
    said = found.output + found.stderr
    assert found.exit_code == 2, said
    assert says in said and "Traceback" not in said
    assert not (tmp_path / "out").exists()


def test_help_comes_at_once_and_teaches() -> None:
    script = (
        "import sys; from prefloop.cli import app\n"
        "try: app(['compare', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'sqlalchemy', 'matplotlib', 'peft', 'pyarrow'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert said.strip().endswith("HEAVY []"), said[-200:]
    for taught in ("--methods online_dpo,best_random", "--testbed styled", "continues", "10 for"):
        assert taught in said, taught
