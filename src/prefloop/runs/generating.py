"""Draw responses from a finished policy, all of them or the best of N by a scorer."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml

from prefloop import config, plugins, testbed
from prefloop.config import ConfigError, Part
from prefloop.engine.single import settle_threads
from prefloop.measure.best_of import kl_bound
from prefloop.rng import stream
from prefloop.runs.export import written
from prefloop.store import importing
from prefloop.store.files import Row, read_rows
from prefloop.store.lines import Lines
from prefloop.types import Missing, Prompt, Response, SamplingSettings, Scorer, content_hash

CHUNK = 256
"""responses drawn, and written, together"""
Told = Callable[[int, int], None]
"""hears of prompts done, and of how many there are"""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is drawn for each prompt, and what of it is kept."""

    model: str
    """a model folder or hub id, a run folder, or `testbed`"""
    prompts: str
    """a file with a column `prompt`, `testbed`, or `testbed:train` for those that runs learn on"""
    n: int = 1
    """responses kept for each prompt"""
    best_of: int | None = None
    """each is the best of so many draws"""
    scorer: Part | None = None
    """who says which is best; without best_of its scores are written all the same"""
    temperature: float | None = None
    top_p: float | None = None
    max_new_tokens: int | None = None
    """None: as the run drew; of a model, the whole law at temperature 1, 64 tokens at most"""
    seed: int = 0
    device: str = "auto"
    limit: int | None = None
    """the first prompts only"""

    def __post_init__(self) -> None:
        for name, value in (("n", self.n), ("best_of", self.best_of), ("limit", self.limit)):
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")
        if self.best_of is not None and self.scorer is None:
            raise ConfigError(
                f"the best of {self.best_of} needs someone who says which that is; give a scorer, "
                "for example --scorer '{name: reward_model, path: my-reward-model}'"
            )

    @property
    def draws(self) -> int:
        """Responses drawn for each prompt."""
        return self.n * (self.best_of or 1)

    @cached_property
    def model_settings(self) -> config.Model:
        """How the model is loaded; of a run folder, its last policy as the run's own was."""
        folder = Path(self.model)
        if not (folder / "ledger.sqlite").exists():
            return config.Model(path=self.model, device=self.device)
        if not (folder / "policy").is_dir():
            raise ConfigError(f"run folder {folder} has no policy yet; let its first round finish")
        own = written(folder).model
        return own.model_copy(
            update={"path": str(folder / "policy"), "adapter": "none", "device": self.device}
        )

    @cached_property
    def law(self) -> SamplingSettings:
        """What responses are drawn from."""
        folder, base = Path(self.model), config.Sample()
        if (folder / "ledger.sqlite").exists():
            base = written(folder).sample
        elif self.model == "testbed":
            from prefloop.runs.open import phases_of

            base = phases_of(config.Config())[-1].config.sample
        given = {name: getattr(self, name) for name in ("temperature", "top_p", "max_new_tokens")}
        return SamplingSettings(
            **{name: getattr(base, name) if v is None else v for name, v in given.items()}
        )


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a file of responses came to."""

    rows: int
    score: float | None
    """mean of those kept"""
    score_of_all: float | None
    """mean of all that were drawn"""
    kl: float
    """nats at most between the law of what was kept and of what was drawn"""

    @property
    def said(self) -> str:
        """In a sentence."""
        if self.score is None:
            return f"{self.rows} responses"
        if self.score_of_all is None:
            return f"{self.rows} responses, mean score {self.score:+.3f}"
        return (
            f"{self.rows} responses, mean score {self.score:+.3f}, {self.score_of_all:+.3f} of all "
            f"that were drawn, at a KL of at most {self.kl:.3f} nats"
        )


def read_part(text: str) -> Part:
    """A part as it is typed: `proxy`, `{name: reward_model, path: …}`, `module:function`."""
    found = yaml.safe_load(text)
    if not (isinstance(found, str) or (isinstance(found, dict) and "name" in found)):
        raise ConfigError(f"a part looks like proxy or {{name: reward_model, path: …}}, got {text}")
    part = Part.model_validate(found)
    try:
        plugins.check("oracles", part.name, part.options)
    except LookupError as error:
        raise ConfigError(str(error)) from None
    return part


def generate(request: Request, out: Path, told: Told = lambda done, total: None) -> Written:
    """Write a JSON line for each response kept: `prompt`, `completion`, and what is known of it.

    A chunk of prompts at a time, into a file beside `out` that becomes `out` when all is done; the
    same request goes on where it was stopped, and ends with the same file. ConfigError for a
    request that cannot be met, ValueError where `out` is there already.
    """
    if out.suffix != ".jsonl":
        raise ConfigError(f"responses are written as JSON lines, got {out}; end it in .jsonl")
    prompts = _prompts(request)
    lines = Lines(path=out, described=_described(request, prompts))
    size = max(1, CHUNK // request.draws)
    done = lines.resume(size * request.n, len(prompts) * request.n) // request.n
    told(done, len(prompts))
    chunks = [prompts[start : start + size] for start in range(done, len(prompts), size)]
    for rows in _drawn(request, chunks, done // size) if chunks else ():
        lines.add(rows)
        done += len(rows) // request.n
        told(done, len(prompts))
    lines.finish()
    return _summary(request, list(read_rows(out)))


def _drawn(request: Request, chunks: Sequence[Sequence[Prompt]], first: int) -> Iterator[list[Row]]:
    """The rows of each chunk; the first of them has that number."""
    from prefloop.models.load import load
    from prefloop.models.transformer import TransformerPolicy
    from prefloop.runs.open import let_stop
    from prefloop.store.text import Encoder

    settings = request.model_settings
    settle_threads(settings.threads)
    loaded = load(settings)
    encoder = Encoder(loaded.tokenizer, context=loaded.context, template=settings.template)
    let_stop(loaded, encoder)
    scorer = _scorer(request, str(loaded.device))
    policy = TransformerPolicy(loaded)
    with policy.rollouts():
        for number, chunk in enumerate(chunks, first):
            encoded = [encoder.encode_prompt(p, request.law.max_new_tokens) for p in chunk]
            found = policy.sample(
                [p for p in encoded if p is not None],
                n=request.draws,
                settings=request.law,
                rng=stream(request.seed, "generate", number),
            )
            yield list(_kept(request, [r for drawn in found for r in drawn], scorer))


def _kept(request: Request, drawn: Sequence[Response], scorer: Scorer | None) -> Iterator[Row]:
    """The rows of a chunk: of every `best_of` draws to a prompt the best, or each of them."""
    size = request.best_of or 1
    scores = scorer.score(drawn) if scorer else None
    for start in range(0, len(drawn), size):
        group = drawn[start : start + size]
        if scores is None:
            yield _row(group[0])
            continue
        known = _known(scores[start : start + size])
        best = max(known, key=lambda place: known[place])
        row = {**_row(group[best]), "score": known[best]}
        if request.best_of:
            row |= {"score_of_all": fmean(known.values()), "best_of": len(known)}
            row["kl_bound"] = kl_bound(len(known))
        yield row


def _known(scores: Sequence[float | Missing]) -> dict[int, float]:
    """Place → score; ValueError where no response could be scored."""
    known = {i: s for i, s in enumerate(scores) if not isinstance(s, Missing)}
    if not known:
        said = next((s.reason for s in scores if isinstance(s, Missing)), "it said nothing")
        raise ValueError(f"the scorer scored none of {len(scores)} responses to a prompt: {said}")
    return known


def _row(response: Response) -> Row:
    """The columns that prefloop and TRL read as prompt-completion data, and how it was drawn."""
    prompt = response.prompt
    chat = [{"role": "assistant", "content": response.text}]
    return {
        "prompt": list(prompt.messages) or prompt.text,
        "completion": chat if prompt.messages else response.text,
        "finished": response.finished,
        "tokens": len(response.tokens),
        "logp": response.logp,
    }


def _scorer(request: Request, device: str) -> Scorer | None:
    part = request.scorer
    if part is None:
        return None
    try:
        found = plugins.build("oracles", part.name, part.options, seed=request.seed, device=device)
    except LookupError as error:
        raise ConfigError(f"scorer: {error}") from None
    if not isinstance(found, Scorer):
        raise ConfigError(
            f"scorer {part.name} compares two responses and has no score for one; give a scorer, "
            "such as reward_model, or your own module:function of responses"
        )
    return found


def _prompts(request: Request) -> list[Prompt]:
    if request.prompts in ("testbed", "testbed:train"):
        split = "train" if request.prompts.endswith("train") else "eval"
        rows: Any = [{"prompt": text} for text in testbed.prompts(split)][: request.limit]
    else:
        rows = read_rows(request.prompts, request.limit)
    found = list(importing.prompts(rows))
    if not found:
        raise ConfigError(f"{request.prompts} holds no prompts; give a file with a column `prompt`")
    return found


def _described(request: Request, prompts: Sequence[Prompt]) -> Row:
    """All that decides what is drawn, the machine excepted."""
    return {
        "model": request.model,
        "prompts": content_hash([p.id for p in prompts]),
        "n": request.n,
        "best_of": request.best_of,
        "scorer": request.scorer and request.scorer.model_dump(mode="json"),
        "seed": request.seed,
        **asdict(request.law),
    }


def _summary(request: Request, rows: Sequence[Row]) -> Written:
    scores = [row["score"] for row in rows if "score" in row]
    every = [row["score_of_all"] for row in rows if "score_of_all" in row]
    return Written(
        rows=len(rows),
        score=fmean(scores) if scores else None,
        score_of_all=fmean(every) if every else None,
        kl=kl_bound(request.best_of or 1),
    )
