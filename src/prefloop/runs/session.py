"""What the five verbs of a run share: the settings of each round, the ledger and the models."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from prefloop import plugins
from prefloop.config import Config, ConfigError, Part, Phase
from prefloop.models.load import load_weights
from prefloop.models.references import Reference, Stored
from prefloop.models.transformer import TransformerPolicy
from prefloop.runs.checkpoints import Checkpoints
from prefloop.runs.data import Data
from prefloop.runs.folder import RunFolder
from prefloop.runs.watch import Stop, Watch
from prefloop.store.ledger import Ledger
from prefloop.store.text import Encoder
from prefloop.types import Missing, Response, Source

_OWN = ("recorded", "learned", "asserted")


@dataclass(frozen=True)
class Model:
    """A policy that does not change, by its name in the ledger, and how to have it."""

    name: str
    opened: Callable[[], AbstractContextManager[TransformerPolicy]]


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
    reward: Any = None
    """the reward model that the run has trained, a `models.reward.RewardModel`; None before"""
    reward_version: int = 0
    """the round that trained it"""
    _built: dict[str, Any] = field(default_factory=dict)
    _anchored: dict[int, Stored] = field(default_factory=dict)

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

    def anchor(self, round: int) -> int:
        """The round whose policy is π₀ for this one: 0, or the end of a phase that anchors."""
        last = found = 0
        for phase in self.phases:
            last += phase.rounds
            if last >= round:
                return found
            found = last if phase.anchors else found
        return found

    def needed(self, last: int) -> set[int]:
        """Rounds whose checkpoints later ones go back to: π₀'s, and the reward model's."""
        trained = [r for r in range(1, last + 1) if self.phase(r).learns == "reward"]
        return {self.anchor(min(last + 1, self.rounds)), *trained[-1:]} - {0}

    def origin(self, round: int) -> Model:
        """π₀ as a round sees it, frozen: the initial policy, or the one a phase has anchored."""
        anchor = self.anchor(round)
        return Model(_name(anchor), partial(self._origin(anchor), self.policy))

    def origin_weights(self, round: int) -> Mapping[str, Tensor]:
        """What was trained, as π₀ had it."""
        anchor = self.anchor(round)
        return self._stored(anchor).weights if anchor else self.start

    def settle(self, round: int) -> None:
        """Put the policy where the round's samples come from: a phase may go back to π₀."""
        if self.phase(round).begins == "pi0" and self.offset(round) == 0:
            load_weights(self.policy.model, dict(self.origin_weights(round)))
            self.policy.version = self.anchor(round)

    def now(self, round: int) -> Model:
        """The policy as it stands, which is the policy after `round`."""
        return Model(_name(round), self.current)

    def _origin(self, anchor: int) -> Reference:
        return self._stored(anchor) if anchor else self.initial

    def _stored(self, round: int) -> Stored:
        if round not in self._anchored:
            kept = dict(self.checkpoints.load(round).weights)
            self._anchored[round] = Stored(kept, version=round)
        return self._anchored[round]

    def rated(self, round: int, responses: Sequence[Response]) -> dict[str, float | Missing]:
        """The proxy's scores by response id, each asked for once; of those it cannot rate, why."""
        part = self.phase(round).config.explore.scorer
        return self.scores(self.proxy_name(part), "scorer", part, responses)

    def proxy_name(self, part: Part | None) -> str:
        """The proxy by its name in the ledger: a learned one is another after every training."""
        is_learned = part is not None and part.name == "learned"
        return f"reward {self.reward_version}" if is_learned else "scorer"

    def scores(
        self, name: str, role: str, part: Part | None, responses: Sequence[Response]
    ) -> dict[str, float | Missing]:
        """A scorer's scores by response id, kept in the ledger under `name`."""
        known: dict[str, float | Missing] = dict(
            self.ledger.scores(name, [r.id for r in responses])
        )
        left = [r for r in responses if r.id not in known]
        if left:
            scorer = self.part(role, "oracles", part)
            rated = dict(zip((r.id for r in left), scorer.score(left), strict=True))
            self.ledger.add_scores(
                name, {k: v for k, v in rated.items() if not isinstance(v, Missing)}
            )
            known |= rated
        return known

    def part(self, role: str, kind: str, part: Part | None, **context: Any) -> Any:
        """A part ready to use, built once; one handed over from Python comes before the config's.

        Labels that came with a file are read from it, whoever else is there to ask; and a reward
        model that the run has trained is its own.
        Values of `context` that are callable are called when the part is built.
        """
        if role in self.given and not (part and part.name in _OWN):
            return self.given[role]
        if part is None:
            raise ConfigError(f"the run needs a {role}, but the config names none")
        name = f"{role}/{part!r}"
        if name not in self._built:
            found = {"seed": self.config.seed, "device": str(self.policy.loaded.device)}
            found |= {"reward": lambda: partial(getattr, self, "reward")}
            found |= {"reads": lambda: self.policy.loaded.tokenizer, **context}
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

    def frozen_logps(self, model: Model, responses: Sequence[Response]) -> dict[str, float]:
        """log π_model of each response by id, computed once per response and kept."""
        known = self.ledger.logps(model.name, [r.id for r in responses])
        left = [r for r in responses if r.id not in known]
        if left:
            with model.opened() as policy, torch.no_grad():
                for chunk in self.chunks(len(left)):
                    asked = [left[i] for i in chunk]
                    values = policy.logps(asked).double().tolist()
                    fresh = dict(zip((r.id for r in asked), values, strict=True))
                    self.ledger.add_logps(model.name, fresh)
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

    def implicit(self, round: int, responses: Sequence[Response]) -> dict[str, float]:
        """log π/π₀ of the policy as it stands before this round learns, by response id."""
        own = self.frozen_logps(self.now(self.policy.version), responses)
        ref = self.frozen_logps(self.origin(round), responses)
        return {name: own[name] - ref[name] for name in own}

    @contextmanager
    def current(self) -> Iterator[TransformerPolicy]:
        """The policy as it stands."""
        yield self.policy


def _name(round: int) -> str:
    """The policy after a round, by its name in the ledger."""
    return f"round {round}" if round else "pi0"
