"""The command line. Nothing heavy is imported before a command needs it."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
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
def compare(
    settings: Settings = None,
    methods: Annotated[
        str,
        typer.Option(
            help="recipes or exploration rules, with commas; NAME:KEY=VALUE sets what one has alone"
        ),
    ] = "online_dpo,iterative_dpo",
    labels: Annotated[int, typer.Option(help="labels a run spends, in all its rounds")] = 1536,
    seeds: Annotated[int, typer.Option(help="reported runs a method; 10 for claims")] = 5,
    baseline: Annotated[
        str | None, typer.Option(help="what differences are to; default: the first method")
    ] = None,
    testbed: Annotated[
        str, typer.Option(help="plain, or styled: gold also likes what the policy hardly does")
    ] = "plain",
    grid: Annotated[
        list[str] | None,
        typer.Option(
            help="what to try, as learn.lr=0.5x,1x,2x (x: times the method's own); several are "
            "crossed. Default: learn.lr and the bonus's strength, five points a method"
        ),
    ] = None,
    tune_seeds: Annotated[
        int, typer.Option(help="runs at each point of the grid, on other seeds; 0: no tuning")
    ] = 1,
    kl: Annotated[
        float | None, typer.Option(help="where gold is compared; default: as far as all runs got")
    ] = None,
    target: Annotated[
        float | None,
        typer.Option(help="gold to count labels to; default: the baseline's at the end"),
    ] = None,
    workers: Annotated[int, typer.Option(help="runs at a time, of one thread each")] = 1,
    out: Annotated[
        Path, typer.Option("--out", help="the comparison's folder; an existing one is continued")
    ] = Path("runs") / "compare",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be run, and do nothing")
    ] = False,
) -> None:
    """Compare methods: equal labels, equal tuning, several seeds, one row each.

    Each method's grid is tried on seeds of its own, and its best point run on the reported seeds.
    Gold rewards are compared at equal KL, and differences to the baseline seed by seed, with
    95 % t-intervals. The folder holds tables, results.json, comparison.svg and every run. The
    same command continues; seeds and methods may be added.

    [dim]prefloop compare --methods online_dpo,best_random,policy_vs_reference --workers 2[/]

    [dim]prefloop compare --testbed styled --seeds 10 --out runs/styled[/]

    [dim]prefloop compare --methods online_dpo,online_dpo:learn.loss=ipo model.path=./my-model
    data.prompts=prompts.jsonl ask.oracle=my_module:prefer measure.gold=my_module:score[/]
    """
    with _errors() as console:
        from prefloop.compare import main as comparing
        from prefloop.compare.results import failures, sheets
        from prefloop.config import assignments

        request = comparing.Request(
            methods=comparing.read_methods(methods),
            labels=labels,
            seeds=seeds,
            tune_seeds=tune_seeds,
            testbed=testbed,
            grid=[comparing.read_axis(axis) for axis in grid or []],
            settings=assignments(settings or []),
        )
        against = comparing.Against(baseline=baseline, kl=kl, target=target)
        say: Callable[[str], None] = partial(
            console.print, highlight=False, markup=False, soft_wrap=True
        )
        if dry_run:
            for line in comparing.described(comparing.Plan.of(request, out)):
                say(line)
            return
        found = comparing.compare(request, out, against=against, workers=workers, say=say)
        for sheet in sheets(found.outcome, found.tuning):
            console.print(sheet.console())
        for line in failures(found.outcome, found.tuning):
            say(f"failed: {line}")
        say(f"tables, results and drawing in {out}")


@app.command()
def overoptimize(
    settings: Settings = None,
    proxies: Annotated[
        str,
        typer.Option(
            help="what is optimised: scorers, and classifier@LABELS, reward@LABELS or "
            "reward/LAYERS@LABELS, which are trained first"
        ),
    ] = "classifier@64,classifier@256,classifier@1024,classifier@4096,proxy",
    policies: Annotated[
        str, typer.Option(help="recipes that climb each proxy, with commas; NAME:KEY=VALUE sets")
    ] = "",
    samples: Annotated[
        int, typer.Option(help="of π₀ to each prompt: best of n for n up to as many")
    ] = 256,
    prompts: Annotated[int, typer.Option(help="evaluation prompts for best of n")] = 100,
    seeds: Annotated[int, typer.Option(help="of what is trained")] = 3,
    threshold: Annotated[
        float, typer.Option(help="how often a proxy must be right to be called accurate")
    ] = 0.75,
    workers: Annotated[int, typer.Option(help="runs at a time, of one thread each")] = 1,
    out: Annotated[Path, typer.Option("--out", help="the folder; an existing one is continued")] = (
        Path("runs") / "overoptimize"
    ),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be done, and do nothing")
    ] = False,
) -> None:
    """Proxy and gold reward against √KL: how far each proxy can be optimised, and at what cost.

    Best of n needs no training of the policy; --policies adds recipes that climb the same proxies.
    The folder holds table.md with the fitted laws, results.json and overoptimization.svg. The same
    command continues; proxies, policies and seeds may be added.

    [dim]prefloop overoptimize --out runs/overoptimize[/]

    [dim]prefloop overoptimize --proxies reward/1@256,reward@256,reward@1024 --policies
    ppo,online_dpo rounds=20 --workers 2[/]

    [dim]prefloop overoptimize model.path=./my-model data.prompts=prompts.jsonl
    data.eval_prompts=held.jsonl measure.gold=my_module:score --proxies my_module:proxy[/]
    """
    with _errors() as console:
        from prefloop.config import assignments
        from prefloop.overoptimize import main as climbing
        from prefloop.overoptimize.request import Request, read_policies, read_proxies
        from prefloop.overoptimize.results import failures
        from prefloop.overoptimize.sheets import sheets

        request = Request(
            proxies=read_proxies(proxies),
            policies=read_policies(policies),
            samples=samples,
            prompts=prompts,
            seeds=seeds,
            threshold=threshold,
            settings=assignments(settings or []),
        )
        say: Callable[[str], None] = partial(
            console.print, highlight=False, markup=False, soft_wrap=True
        )
        if dry_run:
            for line in climbing.described(request):
                say(line)
            return
        outcome = climbing.overoptimize(request, out, workers=workers, say=say)
        for sheet in sheets(outcome):
            console.print(sheet.console())
        for line in failures(outcome):
            say(f"failed: {line}")
        say(f"table, results and drawing in {out}")


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="a run folder")]) -> None:
    """Write report.html anew from a run folder, while it runs or afterwards."""
    with _errors():
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
    with _errors():
        from prefloop.runs import export as exporting

        if labels is not None:
            typer.echo(f"{exporting.labels(folder, labels)} labels in {labels}")
        if policy is not None:
            typer.echo(f"the policy of round {exporting.policy(folder, policy, round)} in {policy}")


@app.command()
def generate(
    model: Annotated[str, typer.Argument(help="a model folder, a run folder, or testbed")],
    prompts: Annotated[
        str, typer.Option(help="a file with a column `prompt`, plain or chats; or testbed")
    ],
    out: Annotated[Path, typer.Option("--out", help="the file of responses, FILE.jsonl")],
    n: Annotated[int, typer.Option("--n", help="responses kept for each prompt")] = 1,
    best_of: Annotated[
        int | None, typer.Option(help="each the best of so many draws, by the scorer")
    ] = None,
    scorer: Annotated[
        str | None,
        typer.Option(
            help="a scorer by name, {name: reward_model, path: …}, or module:function; without "
            "--best-of its scores are written all the same"
        ),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="default: as the run drew; 1 for a model")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option(help="default: as the run drew; 1 for a model")
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(help="default: as the run drew; 64 for a model")
    ] = None,
    seed: Annotated[int, typer.Option(help="another seed, other responses")] = 0,
    limit: Annotated[int | None, typer.Option(help="the first prompts only")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, …")] = "auto",
) -> None:
    """Draw responses from a policy; with --best-of N, the best of N by a scorer.

    Best of N needs no training, and is never farther from the policy than log N − (N−1)/N nats,
    whatever the scorer says: the baseline for everything that is trained. Each row has the prompt,
    the completion, its length and log-probability, and with a scorer its score. The same command
    goes on where it was stopped.

    [dim]prefloop generate runs/first --prompts prompts.jsonl --out answers.jsonl[/]

    [dim]prefloop generate testbed --prompts testbed --best-of 16 --scorer proxy --out best.jsonl[/]
    """
    with _errors() as console:
        from rich.progress import Progress

        from prefloop.runs import generating

        request = generating.Request(
            model=model,
            prompts=prompts,
            n=n,
            best_of=best_of,
            scorer=generating.read_part(scorer) if scorer else None,
            temperature=temperature,
            top_p=top_p,
            max_new_tokens=max_new_tokens,
            seed=seed,
            device=device,
            limit=limit,
        )
        with Progress(console=console, transient=True) as bar:
            task = bar.add_task("prompts", total=None)
            found = generating.generate(
                request, out, lambda done, total: bar.update(task, completed=done, total=total)
            )
        console.print(found.said, highlight=False, markup=False, soft_wrap=True)
        console.print(f"in {out}", highlight=False, markup=False, soft_wrap=True)


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


reward = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")
app.add_typer(reward, name="reward", help="Train a reward model by itself, or measure one.")


@reward.command(name="train")
def reward_train(
    source: Annotated[
        str, typer.Option("--from", help="a preference file, or a run folder with answers")
    ],
    settings: Settings = None,
    backbone: Annotated[
        str,
        typer.Option(
            help="a causal model's folder or hub id, testbed, or features to put a head on: "
            "minilm, lsa"
        ),
    ] = "testbed",
    kind: Annotated[
        str, typer.Option(help="scores: of one response; pair: reads two, says which is better")
    ] = "scores",
    out: Annotated[Path, typer.Option("--out", help="the folder to write")] = Path("reward"),
) -> None:
    """Train a reward model on labels; print how often it is right about prompts left out.

    The folder is an ordinary sequence classifier's (of --kind pair, a causal language model's),
    with training.json beside it. It appears when all is done. Settings are reward.*, model.*,
    seed, data.limit and data.overflow.

    [dim]prefloop reward train --from pairs.jsonl --backbone my-model --out rewards/first
    reward.lr=1e-4 data.overflow=keep_end[/]

    [dim]prefloop reward train --from runs/first --backbone minilm --out rewards/minilm[/]
    """
    with _errors() as console:
        from rich.progress import Progress

        from prefloop.config import assignments
        from prefloop.rewarding import sheets
        from prefloop.rewarding.request import Request
        from prefloop.rewarding.train import train

        request = Request(
            source=source, backbone=backbone, kind=kind, settings=assignments(settings or [])
        )
        with Progress(console=console, transient=True) as bar:
            task = bar.add_task("steps", total=None)
            done = train(request, out, lambda i, n: bar.update(task, completed=i, total=n))
        if done.held_out:
            console.print(sheets.main_sheet(done.held_out).console())
        console.print(f"in {out}", highlight=False, markup=False, soft_wrap=True)


@reward.command(name="evaluate")
def reward_evaluate(
    scorer: Annotated[
        str,
        typer.Argument(
            help="a reward model's folder, a run that trained one, a scorer or oracle by name, "
            "{name: …, option: …}, or module:function"
        ),
    ],
    on: Annotated[
        str, typer.Option("--on", help="labels: a preference file, or a run folder with answers")
    ],
    sections: Annotated[
        bool, typer.Option("--sections", help="accuracy by the column subset, too")
    ] = False,
    annotators: Annotated[
        bool, typer.Option("--annotators", help="what several labels a prompt say together, too")
    ] = False,
    threshold: Annotated[
        float, typer.Option(help="of a run's answers: how often is right often enough")
    ] = 0.75,
    limit: Annotated[int | None, typer.Option(help="the first rows only")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, …")] = "auto",
    out: Annotated[
        Path | None, typer.Option("--out", help="a folder for evaluation.json and drawings")
    ] = None,
) -> None:
    """Measure a scorer, or a judge of pairs, on labels: accuracy, calibration, length.

    On a run folder the labels are its answers, and accuracy is also given against the KL of the
    policy that drew the pairs.

    [dim]prefloop reward evaluate rewards/first --on held-out.jsonl --out rewards/measured[/]

    [dim]prefloop reward evaluate vader --on pairs.jsonl[/]
    """
    with _errors() as console:
        from prefloop.rewarding.report import Wanted, report

        wanted = Wanted(sections=sections, annotators=annotators, threshold=threshold, limit=limit)
        for sheet in report(scorer, on, wanted, out, device=device):
            console.print(sheet.console())
        if out is not None:
            console.print(f"numbers and drawings in {out}", highlight=False, markup=False)


def _run(recipe: str, settings: list[str], folder: Path, *, table: bool) -> None:
    with _errors() as console:
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
    with _errors() as console:
        from prefloop.config import assignments
        from prefloop.runs.forecast import forecast
        from prefloop.runs.main import read

        for line in forecast(read(recipe).override(assignments(settings))):
            console.print(line, highlight=False, markup=False)


class _errors:
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


if __name__ == "__main__":
    app()
