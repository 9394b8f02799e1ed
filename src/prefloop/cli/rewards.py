"""Reward models by themselves."""

from pathlib import Path
from typing import Annotated

import typer

from prefloop.cli.app import Errors, Settings, app, bar, say

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
    with Errors() as console:
        from prefloop.config import assignments
        from prefloop.rewarding import sheets
        from prefloop.rewarding.request import Request
        from prefloop.rewarding.train import train

        request = Request(
            source=source, backbone=backbone, kind=kind, settings=assignments(settings or [])
        )
        with bar(console, "steps") as told:
            done = train(request, out, told)
        if done.held_out:
            console.print(sheets.main_sheet(done.held_out).console())
        say(console)(f"in {out}")


@reward.command(name="gate")
def reward_gate(
    attributes: Annotated[
        str,
        typer.Argument(
            help="a folder of reward train reward.loss=regression reward.heads=K: K attributes"
        ),
    ],
    on: Annotated[
        str, typer.Option("--on", help="labels: a preference file, or a run folder with answers")
    ],
    settings: Settings = None,
    verbosity: Annotated[
        int | None,
        typer.Option(
            help="the attribute, counted from 0, that says how long-winded a response is: what "
            "goes with it is taken off all others"
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="the folder to write")] = Path("gated"),
) -> None:
    """Weigh several attributes by what the prompt asks for, so that they explain preferences.

    The heads stay as they are; a small network learns from the prompt how much each counts. The
    folder holds both. Settings are gate.*, seed, data.limit, data.overflow, model.device,
    model.max_tokens and model.threads.

    [dim]prefloop reward train --from ratings.jsonl --backbone minilm --out rewards/attributes
    reward.loss=regression reward.heads=4[/]

    [dim]prefloop reward gate rewards/attributes --on pairs.jsonl --verbosity 3
    --out rewards/gated[/]
    """
    with Errors() as console:
        from prefloop.config import assignments
        from prefloop.rewarding.gate import gate
        from prefloop.rewarding.gate_sheets import gate_sheets
        from prefloop.rewarding.gating import GateRequest

        said = assignments(settings or [])
        request = GateRequest(attributes=attributes, source=on, verbosity=verbosity, settings=said)
        with bar(console, "steps") as told:
            done = gate(request, out, told)
        for sheet in gate_sheets(done):
            console.print(sheet.console())
        say(console)(f"in {out}")


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
    with Errors() as console:
        from prefloop.rewarding.report import Wanted, report

        wanted = Wanted(sections=sections, annotators=annotators, threshold=threshold, limit=limit)
        for sheet in report(scorer, on, wanted, out, device=device):
            console.print(sheet.console())
        if out is not None:
            say(console)(f"numbers and drawings in {out}")
