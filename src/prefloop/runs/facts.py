"""What a round's learning must know of its responses, and whose responses its bonus is on."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from prefloop.config import ConfigError, Learn
from prefloop.learn.facts import Facts, Row, name_of, responses_of
from prefloop.learn.learner import Learner, Plan
from prefloop.runs.credit import credited
from prefloop.runs.names import place_of, round_of
from prefloop.runs.session import Model, Session
from prefloop.runs.wants import whose
from prefloop.types import Missing, Preference, Response

Weighted = Sequence[tuple[Response, float]]


@dataclass(frozen=True, kw_only=True)
class Gathering:
    """The facts of one round, each computed once per response and kept in the ledger."""

    session: Session
    round: int
    learner: Learner
    _groups: dict[int, dict[int, list[Response]]] = field(default_factory=dict)

    def __call__(self, rows: Sequence[Row], plan: Plan) -> Facts:
        """All that the learner's loss and bonus need."""
        samples = {name_of(row): self._samples(row) for row in rows} if self._bonus else {}
        asked = self.learner.asks(rows, Facts(ref={}, samples=samples), plan)
        own = list({r.id: r for row in rows for r in responses_of(row)}.values())
        drawn = list({r.id: r for found in samples.values() for r, _ in found}.values())
        session = self.session
        session.watch.begin(self.round, "reference", len(asked), "responses")
        if "reward" in self._needs:
            return credited(session, self.round, self.learner, own)
        facts = Facts(ref=self._reference(asked), samples=samples)
        known: dict[str, Any] = {}
        if "prev" in self._needs:
            known["prev"] = session.frozen_logps(self._began, own)
        if "drawn" in self._needs:
            known["drawn"] = self._drawn(drawn)
        if "win" in self._needs:
            known["win"] = self._wins(own)
        if "width" in self._needs:
            known["width"] = self.session.knowledge.widths(own)
        if "novelty" in self._needs:
            known["novelty"] = self.session.knowledge.novelties(drawn)
        return replace(facts, **known)

    @property
    def _settings(self) -> Learn:
        return self.session.phase(self.round).config.learn

    @property
    def _needs(self) -> frozenset[str]:
        return self.learner.objective.needs

    @property
    def _bonus(self) -> bool:
        return self.learner.objective.bonus is not None

    @property
    def _began(self) -> Model:
        """The policy as the round began."""
        return self.session.now(self.session.policy.version)

    def _reference(self, responses: Sequence[Response]) -> dict[str, float]:
        """log π_ref: of π₀, or of the policy as the round begins. Mismatched pairs are not kept."""
        moves = self._settings.reference == "previous" and self.round > 1
        model = self._began if moves else self.session.origin(self.round)
        strange = [r for r in responses if "~" in r.id]
        kept = [r for r in responses if "~" not in r.id]
        known = dict(self.session.frozen_logps(model, kept))
        if strange:
            with model.opened() as policy:
                values = self.session.unkept_logps(policy, strange)
            known |= dict(zip((r.id for r in strange), values, strict=True))
        return known

    def _drawn(self, responses: Sequence[Response]) -> dict[str, float]:
        """Each response's log-probability under the policy that drew it, as its round knew it."""
        there = [self.session.origin(self.round), self._began]
        models = {model.name: model for model in there}
        known: dict[str, float] = {}
        for name in {self._drew(r): None for r in responses}:
            mine = [r for r in responses if self._drew(r) == name]
            known |= self.session.frozen_logps(models.get(name) or _forgotten(name), mine)
        return known

    def _drew(self, response: Response) -> str:
        """Who drew it, by the name of its log-probabilities in the ledger."""
        round = round_of(response.id)
        if response.source == "reference":
            return self.session.origin(round).name
        if response.source in ("policy", "hot"):
            return self.session.now(response.policy_version).name
        raise ConfigError(
            f"an importance ratio needs to know who drew a sample, got one of the "
            f"{response.source}; set learn.bonus_on to policy or reference"
        )

    def _wins(self, responses: Sequence[Response]) -> dict[str, float]:
        """P(y ≻ π_t): the mean over a prompt's candidates, itself included, of σ(s − s')."""
        groups = {self._group(r)[0].id: self._group(r) for r in responses}
        score = self._scores([r for group in groups.values() for r in group])
        found: dict[str, float] = {}
        for group in groups.values():
            scores = np.array([score[r.id] for r in group])
            gap = np.clip(scores[:, None] - scores[None], -500, 500)
            beats = (1 / (1 + np.exp(-gap))).mean(1)
            found |= dict(zip((r.id for r in group), beats.tolist(), strict=True))
        return found

    def _scores(self, responses: Sequence[Response]) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, score in self.session.rated(self.round, responses).items():
            if isinstance(score, Missing):
                raise ConfigError(
                    f"win rates need a score of every candidate, got none for {name}: "
                    f"{score.reason}"
                )
            found[name] = score
        return found

    def _samples(self, row: Row) -> Weighted:
        """The responses that the bonus of a row is on, with weights that sum to one.

        Of a source that is its first candidate: one fair sample, whatever the rule asked about.
        """
        on = whose(self._settings)
        if on in ("chosen", "asked"):
            if isinstance(row, Response):
                return [] if on == "chosen" and row.desirable is False else [(row, 1.0)]
            assert isinstance(row, Preference)
            weights = (row.p, 1 - row.p) if on == "chosen" else (0.5, 0.5)
            return [(r, w) for r, w in zip(responses_of(row), weights, strict=True) if w]
        found = [r for r in self._group(responses_of(row)[0]) if r.source == on]
        return [(r, 1.0) for r in found[:1]]

    def _group(self, response: Response) -> list[Response]:
        """Every candidate that was drawn beside this one."""
        round, (place, _) = round_of(response.id), place_of(response.id)
        if round not in self._groups:
            groups = self._groups.setdefault(round, {})
            for drawn in self.session.ledger.responses(round, "train"):
                groups.setdefault(place_of(drawn.id)[0], []).append(drawn)
        return self._groups[round][place]


def _forgotten(name: str) -> Model:
    def opened() -> Any:
        raise ConfigError(
            f"the policy of {name} is gone, and its samples have no log-probability; keep the "
            "bonus from the first round on"
        )

    return Model(name, opened)
