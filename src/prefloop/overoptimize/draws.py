"""π₀'s samples: many to few prompts for best of n, two to many for comparisons."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from prefloop import plugins, testbed
from prefloop.config import Config, ConfigError, Part
from prefloop.overoptimize.request import Request
from prefloop.runs.generating import Request as Wish
from prefloop.runs.generating import Told, generate
from prefloop.store import importing
from prefloop.store.files import read_rows
from prefloop.types import Missing, Response, Scorer

Scores = Float[np.ndarray, "prompt sample"]


@dataclass(frozen=True, kw_only=True)
class Draws:
    """As many responses to each prompt."""

    responses: Sequence[Response]
    each: int

    def scored(self, scorer: Scorer, kept: Path | None = None) -> Scores:
        """Every response's score, read from `kept` where it was computed before."""
        if kept is not None and kept.exists():
            found: Scores = np.load(kept)
            return found
        scores = scorer.score(self.responses)
        lost = next((s.reason for s in scores if isinstance(s, Missing)), None)
        if lost is not None:
            raise ValueError(f"a proxy that cannot score every response cannot be followed: {lost}")
        array = np.array(scores, dtype=np.float64).reshape(-1, self.each)
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            part = kept.with_name(kept.stem + ".part.npy")
            np.save(part, array)
            part.replace(kept)
        return array


def samples(request: Request, out: Path, told: Told) -> Draws:
    """`samples` responses to each of the evaluation prompts; drawn once."""
    config = request.base
    wish = _wish(config, _eval_prompts(config), n=request.samples, limit=request.prompts, seed=0)
    return _drawn(wish, out / "samples.jsonl", told)


def comparisons(request: Request, seed: int, count: int, out: Path, told: Told) -> Draws:
    """Two responses to each of `count` training prompts, over again where there are fewer."""
    config = request.base
    prompts = str(config.data.prompts)
    embedded = prompts == "testbed"
    known = len(testbed.prompts("train")) if embedded else sum(1 for _ in read_rows(prompts))
    laps = -(-count // max(1, known))
    name = "testbed:train" if embedded else prompts
    wish = _wish(config, name, n=2 * laps, limit=-(-count // laps), seed=seed + 1)
    drawn = _drawn(wish, out / "comparisons" / f"{count}-seed-{seed}.jsonl", told)
    return Draws(responses=drawn.responses[: 2 * count], each=2)


def scorer(part: Part) -> Scorer:
    """The part, built; ConfigError for one that compares and does not score."""
    try:
        found = plugins.build("oracles", part.name, part.options, seed=0)
    except LookupError as error:
        raise ConfigError(str(error)) from None
    if not isinstance(found, Scorer):
        raise ConfigError(f"{part.name} compares two responses, and a proxy must score one")
    return found


def _eval_prompts(config: Config) -> str:
    if config.data.prompts == "testbed":
        return "testbed"
    if config.data.eval_prompts is None:
        raise ConfigError("set data.eval_prompts: best of n is measured on prompts of its own")
    return config.data.eval_prompts


def _wish(config: Config, prompts: str, *, n: int, limit: int, seed: int) -> Wish:
    return Wish(
        model=config.model.path,
        prompts=prompts,
        n=n,
        limit=limit,
        seed=seed,
        temperature=config.sample.temperature,
        top_p=config.sample.top_p,
        max_new_tokens=config.sample.max_new_tokens,
        device=config.model.device,
    )


def _drawn(wish: Wish, path: Path, told: Told) -> Draws:
    if not path.exists():
        generate(wish, path, told)
    rows = list(read_rows(path))
    answers = [
        Response(prompt=prompt, text=_text(row["completion"]), finished=row["finished"])
        for prompt, row in zip(importing.prompts(rows), rows, strict=True)
    ]
    return Draws(responses=answers, each=wish.n)


def _text(completion: Any) -> str:
    return str(completion if isinstance(completion, str) else completion[0]["content"])
