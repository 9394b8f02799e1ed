"""Sample: K responses to each of the round's prompts, committed a chunk at a time."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import takewhile
from time import perf_counter
from typing import Any

from prefloop.config import ConfigError, Sample
from prefloop.models.references import Stored
from prefloop.models.transformer import TransformerPolicy
from prefloop.rng import stream
from prefloop.runs.data import Item
from prefloop.runs.names import place_of
from prefloop.runs.session import Session
from prefloop.types import Candidates, Prompt, Response, SamplingSettings, Source


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """The verb `sample` of a run."""

    session: Session

    def __call__(self, round: int) -> list[Candidates]:
        """The round's candidates, grouped by prompt, drawn now or read back."""
        session, settings = self.session, self.session.phase(round).config.sample
        total = self._total(round, settings)
        self._begin(round, total)
        session.watch.begin(round, "sample", total, "prompts")
        each = sum(settings.sources.values())
        with session.policy.rollouts():
            for number, places in enumerate(session.chunks(total, responses=each)):
                if not session.ledger.drawn(round, "train", number):
                    self._commit(round, number, places, settings)
                session.watch.advance(len(places))
        return _grouped(session.ledger.responses(round, "train"))

    def _begin(self, round: int, total: int) -> None:
        """Commit which phase the round is one of, and put the policy where it begins."""
        session, phase = self.session, self.session.phase(round)
        if session.ledger.finished(round, "begin") is None:
            session.ledger.finish(round, "begin", {"phase": phase.name})
        if session.ledger.finished(round, "learn") is None:
            session.settle(round)
        wanted = phase.config.sample.prompts or 0
        if phase.learns == "reward" and total < wanted:
            session.watch.note(
                f"round {round} has {total} prompts, not the {wanted} that it was to ask about: "
                "there are no more; give more in data.prompts"
            )

    def _commit(self, round: int, number: int, places: range, settings: Sample) -> None:
        began = perf_counter()
        drawn: list[Response] = []
        source: Source
        for source, n in settings.sources.items():
            drawn += self._propose(source, n, round, number, places)
        ordered = sorted(drawn, key=lambda r: place_of(r.id))
        law = settings.model_dump(mode="json")
        self.session.commit_draw(round, "train", number, ordered, law, began)

    def _propose(
        self, source: Source, n: int, round: int, number: int, places: range
    ) -> Iterator[Response]:
        """n responses from one source to each prompt of a chunk, with their names."""
        first = sum(_before(source, self.session.phase(round).config.sample).values())
        if source == "dataset":
            groups = [list(self._item(round, i).responses[:n]) for i in places]
        else:
            groups = self._draw(source, n, round, number, [self._prompt(round, i) for i in places])
        for place, group in zip(places, groups, strict=True):
            for k, response in enumerate(group):
                yield self.session.named(response, f"r{round}.{place}.{first + k}", source)

    def _draw(
        self, source: Source, n: int, round: int, number: int, prompts: Sequence[Prompt]
    ) -> list[list[Response]]:
        session = self.session
        rng = stream(session.config.seed, "sample", round, number, source)
        law = session.phase(round).config.sample
        settings = sampling(law)
        if source == "hot":
            settings = replace(settings, temperature=law.hot)
        with self._proposer(source, round) as policy:
            return policy.sample(prompts, n=n, settings=settings, rng=rng)

    def _proposer(self, source: Source, round: int) -> AbstractContextManager[TransformerPolicy]:
        session = self.session
        if source in ("policy", "hot"):
            return session.current()
        if source == "reference" or round <= 2:
            return session.origin(round).opened()
        before = Stored(dict(session.checkpoints.load(round - 2).weights), version=round - 2)
        return before(session.policy)

    def _total(self, round: int, settings: Sample) -> int:
        pool = len(self._pool(settings))
        if not pool:
            what = "data.preferences or data.completions" if _ready(settings) else "data.prompts"
            raise ConfigError(f"there is nothing to train on; give {what} a file with rows")
        return min(pool, settings.prompts or pool)

    def _pool(self, settings: Sample) -> Sequence[Any]:
        return self.session.data.items if _ready(settings) else self.session.data.prompts

    def _index(self, round: int, place: int) -> int:
        """Which row of the pool: a new permutation every time the pool has been gone through."""
        settings = self.session.phase(round).config.sample
        size = len(self._pool(settings))
        lap, row = divmod(self.session.offset(round) * self._total(round, settings) + place, size)
        return _order(self.session.config.seed, self.session.phase(round).name, lap, size)[row]

    def _prompt(self, round: int, place: int) -> Prompt:
        settings = self.session.phase(round).config.sample
        row = self._pool(settings)[self._index(round, place)]
        return row.prompt if _ready(settings) else row  # type: ignore[no-any-return]

    def _item(self, round: int, place: int) -> Item:
        return self.session.data.items[self._index(round, place)]

    def labels(self) -> dict[str, float]:
        """Query id → the label that came with the file, for every round that reads from it."""
        found = {}
        for round in range(1, self.session.rounds + 1):
            settings = self.session.phase(round).config.sample
            for place in range(self._total(round, settings) if _ready(settings) else 0):
                if (p := self._item(round, place).p) is not None:
                    found[f"r{round}.{place}.0-1"] = p
        return found


def sampling(settings: Sample) -> SamplingSettings:
    """The law that responses are drawn from."""
    return SamplingSettings(
        temperature=settings.temperature,
        top_p=settings.top_p,
        max_new_tokens=settings.max_new_tokens,
    )


@lru_cache(maxsize=4)
def _order(seed: int, phase: str, lap: int, size: int) -> tuple[int, ...]:
    """The order in which a phase goes through its pool for the lap-th time."""
    return tuple(stream(seed, "prompts", phase, lap).permutation(size).tolist())


def _ready(settings: Sample) -> bool:
    return "dataset" in settings.sources


def _before(source: str, settings: Sample) -> dict[str, int]:
    """The sources that come before this one in a prompt's list of candidates."""
    return dict(takewhile(lambda item: item[0] != source, settings.sources.items()))


def _grouped(responses: Sequence[Response]) -> list[Candidates]:
    groups: dict[int, list[Response]] = {}
    for response in responses:
        groups.setdefault(place_of(response.id)[0], []).append(response)
    return [Candidates(prompt=g[0].prompt, responses=tuple(g)) for g in groups.values()]
