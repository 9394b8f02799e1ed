"""Drawing responses."""

from pathlib import Path
from typing import Annotated

import typer

from prefloop.cli.app import Errors, app, bar, say


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
    with Errors() as console:
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
        with bar(console, "prompts") as told:
            found = generating.generate(request, out, told)
        say(console)(found.said)
        say(console)(f"in {out}")
