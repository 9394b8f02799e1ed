"""Methods side by side, and one method as far as it goes."""

from pathlib import Path
from typing import Annotated

import typer

from prefloop.cli.app import Errors, Settings, app, say


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
    with Errors() as console:
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
        tell = say(console)
        if dry_run:
            for line in comparing.described(comparing.Plan.of(request, out)):
                tell(line)
            return
        found = comparing.compare(request, out, against=against, workers=workers, say=tell)
        for sheet in sheets(found.outcome, found.tuning):
            console.print(sheet.console())
        for line in failures(found.outcome, found.tuning):
            tell(f"failed: {line}")
        tell(f"tables, results and drawing in {out}")


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
    with Errors() as console:
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
        tell = say(console)
        if dry_run:
            for line in climbing.described(request):
                tell(line)
            return
        outcome = climbing.overoptimize(request, out, workers=workers, say=tell)
        for sheet in sheets(outcome):
            console.print(sheet.console())
        for line in failures(outcome):
            tell(f"failed: {line}")
        tell(f"table, results and drawing in {out}")
