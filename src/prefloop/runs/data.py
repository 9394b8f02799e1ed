"""What a run reads: prompts and ready-made rows, encoded once, with the held-out part set aside."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from prefloop import testbed
from prefloop.config import Config, ConfigError
from prefloop.rng import key
from prefloop.store import importing
from prefloop.store.files import read_rows
from prefloop.store.text import Counts, Encoder
from prefloop.types import Prompt, Response

Rows = Iterable[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Given:
    """Data handed over from Python; each takes the place of the file the config names."""

    prompts: Iterable[Any] | None = None
    eval_prompts: Iterable[Any] | None = None
    preferences: Rows | None = None
    completions: Rows | None = None


@dataclass(frozen=True, kw_only=True)
class Item:
    """A ready-made row: one response to a prompt, or two and P(first ≻ second)."""

    responses: tuple[Response, ...]
    p: float | None = None

    @property
    def prompt(self) -> Prompt:
        return self.responses[0].prompt


@dataclass(frozen=True, kw_only=True)
class Data:
    """Everything a run may train on, and the prompts and rows it must not."""

    prompts: tuple[Prompt, ...]
    items: tuple[Item, ...]
    eval_prompts: tuple[Prompt, ...]
    eval_items: tuple[Item, ...]
    counts: Mapping[str, int] = field(default_factory=dict)


def load(config: Config, encoder: Encoder, given: Given) -> Data:
    """Read, encode and split what the config names."""
    reserve = config.sample.max_new_tokens
    items = [i for i in _items(config, encoder, given) if i]
    prompts = _encoded(
        _prompts(config.data.prompts, given.prompts, "train", config), encoder, reserve
    )
    held = _encoded(
        _prompts(_eval_file(config), given.eval_prompts, "eval", config), encoder, reserve
    )
    if not held:
        every = {p.id: p for p in [*prompts, *(i.prompt for i in items)]}
        chosen = [p for p in every.values() if _held_out(p, config)]
        held = _encoded(chosen, replace(encoder, counts=Counts()), reserve)
        prompts = [p for p in prompts if not _held_out(p, config)]
    test = {p.id for p in held}
    _refuse_overlap([p for p in prompts if p.id in test])
    return Data(
        prompts=tuple(prompts),
        items=tuple(i for i in items if i.prompt.id not in test),
        eval_prompts=tuple(held),
        eval_items=tuple(i for i in items if i.prompt.id in test),
        counts=asdict(encoder.counts),
    )


def _prompts(
    path: str | None, given: Iterable[Any] | None, split: Literal["train", "eval"], config: Config
) -> list[Prompt]:
    """Distinct prompts, in file order."""
    limit = config.data.limit if split == "train" else None
    if given is not None:
        rows: Rows = [p if isinstance(p, Mapping) else {"prompt": p} for p in given]
    elif path == "testbed":
        rows = [{"prompt": text} for text in testbed.prompts(split)]
    elif path:
        rows = read_rows(path, limit)
    else:
        return []
    return list({p.id: p for p in importing.prompts(rows)}.values())[:limit]


def _eval_file(config: Config) -> str | None:
    if config.data.eval_prompts is None and config.data.prompts == "testbed":
        return "testbed"
    return config.data.eval_prompts


def _items(config: Config, encoder: Encoder, given: Given) -> Iterable[Item | None]:
    """Ready-made pairs, then ready-made single responses; None where a row was dropped."""
    limit = config.data.limit
    pairs = given.preferences if given.preferences is not None else config.data.preferences
    if pairs is not None:
        for pair in importing.preferences(read_rows(pairs, limit)):
            yield _item(encoder, pair.prompt, (pair.a, pair.b), p=pair.p)
    single = given.completions if given.completions is not None else config.data.completions
    if single is not None:
        for row in importing.unpaired(read_rows(single, limit)):
            yield _item(encoder, row.prompt, (row.text,), desirable=row.desirable)


def _item(
    encoder: Encoder,
    prompt: Prompt,
    texts: tuple[str, ...],
    *,
    p: float | None = None,
    desirable: bool | None = None,
) -> Item | None:
    encoded = encoder.encode(prompt, *texts)
    if encoded is None:
        return None
    fitted, tokens = encoded
    responses = tuple(
        Response(prompt=fitted, text=text, tokens=ids, source="dataset", desirable=desirable)
        for text, ids in zip(texts, tokens, strict=True)
    )
    return Item(responses=responses, p=p)


def _encoded(prompts: Iterable[Prompt], encoder: Encoder, reserve: int) -> list[Prompt]:
    found = (encoder.encode_prompt(p, reserve) for p in prompts)
    return [p for p in found if p is not None]


def _held_out(prompt: Prompt, config: Config) -> bool:
    """A fixed pseudo-random share of the prompts, the same whatever else the file holds."""
    return key(config.seed, "held out", prompt.id) / 2**63 < config.data.eval_fraction


def _refuse_overlap(seen: Sequence[Prompt]) -> None:
    if seen:
        raise ConfigError(
            f"{len(seen)} evaluation prompts are also training prompts, the first is "
            f"{seen[0].text[:80]!r}; take them out of one of the two files"
        )
