"""A gate over attributes beside the same heads without one, where the truth is known.

Samples of the embedded model are rated by four attributes of the testbed; a pair's label is drawn
by sentiment or by length, as the prompt is of one kind or the other. Half of the prompts teach the
heads, half the gate, of whose prompts a fifth is left out to measure on. Some five minutes;
the samples are kept in the folder. Run it from the repository:

    .venv/bin/python benchmarks/gate.py --out runs/gate
"""

import argparse
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
from jaxtyping import Float
from rich.console import Console
from rich.progress import track
from rich.table import Table

from prefloop import plugins
from prefloop.measure.reward import accuracy
from prefloop.oracles.feature_head import FeatureHead
from prefloop.rewarding.gate import gate
from prefloop.rewarding.gating import GateRequest
from prefloop.rewarding.request import Request
from prefloop.rewarding.rows import comparisons, read
from prefloop.rewarding.train import split, train
from prefloop.rng import stream
from prefloop.runs.generating import Request as Wish
from prefloop.runs.generating import generate
from prefloop.types import Prompt, Response

EACH, SHARPNESS, HOLDOUT = 4, 3.0, 0.2
BY_KIND, OTHERWISE = 0, 3
"""the attribute that labels are drawn by, of prompts that are of the kind and of those not"""
ATTRIBUTES = {
    "sentiment": lambda rows: _scored("sentiment", rows, length_normalize=True),
    "vader": lambda rows: _scored("vader", rows),
    "style": lambda rows: _scored("style", rows),
    "length": lambda rows: np.array([len(row.text.split()) for row in rows], float),
}
COLUMNS = ("gate", "all alike", "best alone", "linear head on pairs", "kind known")


@dataclass(frozen=True, kw_only=True)
class World:
    """Rated samples, prompt after prompt, and which prompts are of the kind."""

    rows: Sequence[Response]
    rated: Float[np.ndarray, "response attribute"]
    kind: Sequence[bool]

    def places(self, prompts: Sequence[int]) -> list[int]:
        """Of these prompts' samples that say something."""
        found = (EACH * prompt + i for prompt in prompts for i in range(EACH))
        return [place for place in found if self.rows[place].text.strip()]


def main() -> None:
    """Draw what is missing, train, and print a line a kind and seed."""
    asked = arguments()
    rows = samples(asked.out / "samples.jsonl", asked.prompts)
    rated = np.stack([rate(rows) for rate in ATTRIBUTES.values()], axis=1)
    table = Table(title="accuracy on pairs of prompts left out")
    for column in ("kind", "seed", *COLUMNS):
        table.add_column(column)
    for name, kind in KINDS.items():
        world = World(rows=rows, rated=rated, kind=kind([row.prompt.text for row in rows[::EACH]]))
        for seed in track(range(asked.seeds), description=name):
            found = measured(world, seed, asked.out / name / f"seed-{seed}")
            table.add_row(name, str(seed), *(f"{found[column]:.3f}" for column in COLUMNS))
    Console(width=120).print(table)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/gate"))
    parser.add_argument("--prompts", type=int, default=3000)
    parser.add_argument("--seeds", type=int, default=3)
    return parser.parse_args()


def samples(path: Path, prompts: int) -> list[Response]:
    """Samples of the embedded model to its own training prompts, drawn once."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        wish = Wish(model="testbed", prompts="testbed:train", n=EACH, limit=prompts)
        generate(wish, path, lambda done, total: None)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [Response(prompt=Prompt(text=row["prompt"]), text=row["completion"]) for row in rows]


def says_the(prompts: Sequence[str]) -> list[bool]:
    """A kind that words tell at once."""
    return ["the" in prompt.split() for prompt in prompts]


def kindly(prompts: Sequence[str]) -> list[bool]:
    """A kind that is hard to tell: a prompt of more than the median sentiment."""
    scores = _scored("sentiment", [Response(prompt=Prompt(text=p), text="") for p in prompts])
    return [bool(score > np.median(scores)) for score in scores]


KINDS: dict[str, Callable[[Sequence[str]], Sequence[bool]]] = {"the": says_the, "kindly": kindly}


def measured(world: World, seed: int, folder: Path) -> dict[str, float]:
    """Accuracies by the names of COLUMNS, on the same pairs."""
    rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    order = stream(seed, "gate benchmark").permutation(len(world.kind)).tolist()
    half = len(order) // 2
    rated, pairs = folder / "ratings.jsonl", folder / "pairs.jsonl"
    _write(rated, ratings(world, order[:half]))
    _write(pairs, labelled(world, order[half:], seed))
    heads, shared = folder / "attributes", {"seed": seed}
    regression = {"reward.loss": "regression", "reward.heads": len(ATTRIBUTES)}
    train(Request(source=str(rated), backbone="lsa", settings=regression | shared), heads)
    left_out = {"reward.holdout": HOLDOUT}
    plain = train(
        Request(source=str(pairs), backbone="lsa", settings=left_out | shared), folder / "linear"
    )
    settings = {"gate.holdout": HOLDOUT, **shared}
    gated = gate(
        GateRequest(attributes=str(heads), source=str(pairs), settings=settings), folder / "gated"
    )
    assert gated.held_out is not None and gated.beside is not None and plain.held_out is not None
    values = (
        *(gated.held_out.accuracy.value, gated.beside.uniform.value, gated.beside.best.value),
        *(plain.held_out.accuracy.value, known(world, heads, pairs, seed)),
    )
    return dict(zip(COLUMNS, values, strict=True))


def ratings(world: World, prompts: Sequence[int]) -> list[dict[str, Any]]:
    """A line a response that says something."""
    return [
        {
            "prompt": world.rows[place].prompt.text,
            "completion": world.rows[place].text,
            "values": world.rated[place].tolist(),
        }
        for place in world.places(prompts)
    ]


def labelled(world: World, prompts: Sequence[int], seed: int) -> list[dict[str, Any]]:
    """Disjoint pairs; P(a ≻ b) = σ(3 · difference) in the attribute of the prompt's kind."""
    draw = stream(seed, "gate labels")
    unit = world.rated / world.rated.std(0)
    found = []
    for prompt in prompts:
        attribute = BY_KIND if world.kind[prompt] else OTHERWISE
        places = world.places([prompt])
        for a, b in zip(places[::2], places[1::2], strict=False):
            if world.rows[a].text != world.rows[b].text:
                gap = SHARPNESS * (unit[a, attribute] - unit[b, attribute])
                label = "a" if draw.uniform() < 1 / (1 + np.exp(-gap)) else "b"
                texts = {"response_a": world.rows[a].text, "response_b": world.rows[b].text}
                found.append({"prompt": world.rows[a].prompt.text, **texts, "label": label})
    return found


def known(world: World, heads: Path, pairs: Path, seed: int) -> float:
    """Of the head that the labels were drawn by: what a gate could reach with these heads."""
    texts = [row.prompt.text for row in world.rows[::EACH]]
    kind = dict(zip(texts, world.kind, strict=True))
    _, held = split(read(str(pairs)), HOLDOUT, seed)
    rows, score = comparisons(held), FeatureHead(path=str(heads)).attributes
    gaps = score([row.query.a for row in rows]) - score([row.query.b for row in rows])
    which = [BY_KIND if kind[row.query.prompt.text] else OTHERWISE for row in rows]
    return accuracy(gaps[range(len(rows)), which], [row.p for row in rows]).value


def _scored(name: str, rows: Sequence[Response], **options: Any) -> Float[np.ndarray, " response"]:
    return np.array(plugins.build("oracles", name, options).score(rows), float)


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
