"""What the five verbs of a run share: the settings of each round, the ledger and the models."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from prefloop import plugins
from prefloop.config import Config, ConfigError, Part, Phase
from prefloop.models.references import Reference
from prefloop.models.transformer import TransformerPolicy
from prefloop.runs.checkpoints import Checkpoints
from prefloop.runs.data import Data
from prefloop.runs.folder import RunFolder
from prefloop.runs.watch import Stop, Watch
from prefloop.store.ledger import Ledger
from prefloop.store.text import Encoder
from prefloop.types import Response, Source


@dataclass(kw_only=True)
class Session:
    """One run in progress."""

    config: Config
    phases: Sequence[Phase]
    folder: RunFolder
    ledger: Ledger
    checkpoints: Checkpoints
    data: Data
    policy: TransformerPolicy
    initial: Reference
    """the policy before the first round, frozen"""
    start: Mapping[str, Tensor]
    """what was trained, as it was before the first round; empty where no round returns to it"""
    encoder: Encoder
    watch: Watch
    stop: Stop
    knowledge: Any = None
    """a `knowledge.Knowledge` where a part of the run explores by it, else None"""
    given: Mapping[str, Any] = field(default_factory=dict)
    """parts handed over from Python: `oracle`, `scorer`, `gold`"""
    _built: dict[str, Any] = field(default_factory=dict)

    @property
    def rounds(self) -> int:
        """Rounds in all phases together."""
        return sum(phase.rounds for phase in self.phases)

    def phase(self, round: int) -> Phase:
        """The phase that a round belongs to; round 0 belongs to the first."""
        last = 0
        for phase in self.phases:
            last += phase.rounds
            if round <= last:
                return phase
        raise IndexError(f"round {round} of {last}")

    def offset(self, round: int) -> int:
        """How many rounds of its phase came before this one."""
        first = 1
        for phase in self.phases:
            if round < first + phase.rounds:
                return round - first
            first += phase.rounds
        raise IndexError(f"round {round} of {first - 1}")

    def part(self, role: str, kind: str, part: Part | None, **context: Any) -> Any:
        """A part ready to use, built once; one handed over from Python comes before the config's.

        Labels that came with a file are read from it, whoever else is there to ask.
        Values of `context` that are callable are called when the part is built.
        """
        if role in self.given and not (part and part.name == "recorded"):
            return self.given[role]
        if part is None:
            raise ConfigError(f"the run needs a {role}, but the config names none")
        name = f"{role}/{part!r}"
        if name not in self._built:
            found = {"seed": self.config.seed, "device": str(self.policy.loaded.device), **context}
            values = {k: value() if callable(value) else value for k, value in found.items()}
            try:
                self._built[name] = plugins.build(kind, part.name, part.options, **values)
            except LookupError as error:  # a module:function inside another part
                raise ConfigError(f"{role}: {error}") from None
        return self._built[name]

    def chunks(self, total: int, *, responses: int = 1) -> list[range]:
        """Units 0…total−1, of so many responses each, cut into what is committed together."""
        size = max(1, self.config.sample.chunk // responses)
        return [range(i, min(i + size, total)) for i in range(0, total, size)]

    def named(self, response: Response, name: str, source: Source) -> Response:
        """A response under its name in the ledger; a sample's text reads as in a file."""
        if source == "dataset":
            return replace(response, id=name)
        text = self.encoder.decode(response.prompt, response.tokens)
        return replace(response, id=name, text=text, source=source)

    def commit_draw(
        self,
        round: int,
        purpose: str,
        number: int,
        drawn: Sequence[Response],
        settings: Mapping[str, Any],
        began: float,
    ) -> None:
        """Commit one chunk of responses; then stop, if that was asked for."""
        self.ledger.add_draw(
            round,
            purpose,
            number,
            drawn,
            version=self.policy.version,
            settings=dict(settings),
            seed=f"{self.config.seed}/{purpose}/{round}/{number}",
            seconds=perf_counter() - began,
            template=self.encoder.template_hash,
        )
        self.stop.check()

    def frozen_logps(
        self, model: str, reference: Callable[[], Any], responses: Sequence[Response]
    ) -> dict[str, float]:
        """log π_model of each response by id, computed once per response and kept."""
        known = self.ledger.logps(model, [r.id for r in responses])
        left = [r for r in responses if r.id not in known]
        if left:
            with reference() as policy, torch.no_grad():
                for chunk in self.chunks(len(left)):
                    asked = [left[i] for i in chunk]
                    values = policy.logps(asked).double().tolist()
                    fresh = dict(zip((r.id for r in asked), values, strict=True))
                    self.ledger.add_logps(model, fresh)
                    known |= fresh
                    self.stop.check()
        return known

    @torch.no_grad()
    def unkept_logps(self, policy: Any, responses: Sequence[Response]) -> list[float]:
        """log π of responses that the ledger does not know, a chunk at a time."""
        values: list[float] = []
        for places in self.chunks(len(responses)):
            values += policy.logps([responses[i] for i in places]).double().tolist()
        return values

    def implicit(self, responses: Sequence[Response]) -> dict[str, float]:
        """log π/π₀ of the policy as it stands, by response id."""
        own = self.frozen_logps(f"round {self.policy.version}", self.current, responses)
        start = partial(self.initial, self.policy)
        ref = self.frozen_logps("pi0", start, responses)
        return {name: own[name] - ref[name] for name in own}

    @contextmanager
    def current(self) -> Iterator[TransformerPolicy]:
        """The policy as it stands."""
        yield self.policy
