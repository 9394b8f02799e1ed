"""Running a recipe, and taking out what a run made."""

from pathlib import Path
from typing import Annotated

import typer

from prefloop.cli.app import Errors, Settings, app

Out = Annotated[
    Path | None, typer.Option("--out", help="the run folder; an existing one is continued")
]


@app.command()
def demo(
    settings: Settings = None,
    short: Annotated[bool, typer.Option("--short", help="3 small rounds, under a minute")] = False,
    out: Out = None,
) -> None:
    """Online DPO on the embedded testbed: a tiny model learns to write kinder film reviews.

    Pairs are the best and worst of 4 samples by a weak proxy; a gold classifier answers.
    """
    chosen = ["rounds=3", "sample.prompts=64", "measure.prompts=100", "measure.kl_samples=100"]
    folder = out or Path("runs") / ("demo-short" if short else "demo")
    _run("online_dpo", (chosen if short else []) + (settings or []), folder, table=True)


@app.command()
def run(
    recipe: Annotated[str, typer.Argument(help="a recipe (prefloop list recipes) or a YAML file")],
    settings: Settings = None,
    out: Out = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be done, and do nothing")
    ] = False,
) -> None:
    """Run a recipe on your own model, prompts and oracle; run it again to continue.

    [dim]prefloop run online_dpo model.path=./my-model data.prompts=prompts.jsonl
    ask.oracle=my_module:prefer --out runs/first[/]

    [dim]prefloop run dpo model.path=./my-model data.preferences=pairs.parquet[/]
    """
    folder = out or Path("runs") / Path(recipe).stem
    if dry_run:
        _dry_run(recipe, settings or [])
    else:
        _run(recipe, settings or [], folder, table=False)


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="a run folder")]) -> None:
    """Write report.html anew from a run folder, while it runs or afterwards."""
    with Errors():
        from prefloop.runs.summary import write_report

        typer.echo(write_report(folder))


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="a run folder")],
    labels: Annotated[
        Path | None, typer.Option(help="write the labels as TRL preference Parquet")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="write a policy as a Hugging Face folder")
    ] = None,
    round: Annotated[
        int | None, typer.Option(help="the policy of this round; default: the last")
    ] = None,
) -> None:
    """Take the labels or the policy out of a run folder, in formats everyone reads."""
    if labels is None and policy is None:
        raise typer.BadParameter(
            "say what to export: --labels FILE.parquet, --policy FOLDER, or both"
        )
    with Errors():
        from prefloop.runs import export as exporting

        if labels is not None:
            typer.echo(f"{exporting.labels(folder, labels)} labels in {labels}")
        if policy is not None:
            typer.echo(f"the policy of round {exporting.policy(folder, policy, round)} in {policy}")


@app.command(name="list")
def list_(
    kind: Annotated[str | None, typer.Argument(help="losses, explore, oracles, recipes, …")] = None,
) -> None:
    """Everything a run can be made of, with its options and their defaults."""
    from rich.console import Console
    from rich.table import Table

    from prefloop import plugins

    if kind is not None and kind not in plugins.KINDS:
        raise typer.BadParameter(f"there is no {kind!r}; there are: {', '.join(plugins.KINDS)}")
    for found in [kind] if kind else [k for k in plugins.KINDS if plugins.names(k)]:
        table = Table(title=found, title_justify="left", box=None, padding=(0, 2))
        for column in ("name", "what it is", "options"):
            table.add_column(column, overflow="fold")
        for name in plugins.names(found):
            card = plugins.card(found, name)
            names = name + "".join(f"\n= {alias}" for alias in card.aliases)
            options = ", ".join(f"{o}={d}" if d else o for o, d in card.options.items())
            table.add_row(names, card.summary, options)
        Console().print(table)


def _run(recipe: str, settings: list[str], folder: Path, *, table: bool) -> None:
    with Errors() as console:
        from prefloop.config import assignments
        from prefloop.report.table import console_table
        from prefloop.runs.live import Live
        from prefloop.runs.main import read, run
        from prefloop.runs.open import phases_of

        config = read(recipe).override(assignments(settings))
        live = Live(console, sum(phase.rounds for phase in phases_of(config)))
        with live.shown():
            result = run(config, folder, watch=live)
        if table or result.status == "finished":
            console.print(console_table(result.metrics))
        console.print(f"{result.status}: report in {folder / 'report.html'}", highlight=False)


def _dry_run(recipe: str, settings: list[str]) -> None:
    with Errors() as console:
        from prefloop.config import assignments
        from prefloop.runs.forecast import forecast
        from prefloop.runs.main import read

        for line in forecast(read(recipe).override(assignments(settings))):
            console.print(line, highlight=False, markup=False)
