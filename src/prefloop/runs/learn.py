"""Learn: a round's answers to new weights, restartable between optimizer steps."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import torch

from prefloop import plugins
from prefloop.batches import PairLogps
from prefloop.config import ConfigError, Learn
from prefloop.learn.facts import Row, responses_of
from prefloop.learn.learner import Learner, Plan
from prefloop.learn.step import Tally
from prefloop.models.load import load_weights, weights
from prefloop.runs.checkpoints import Checkpoint
from prefloop.runs.facts import Gathering
from prefloop.runs.session import Session
from prefloop.runs.wants import with_beta
from prefloop.types import Preference, content_hash


@dataclass(kw_only=True)
class Learning:
    """The verb `learn` of a run."""

    session: Session
    _learners: dict[str, Learner] = field(default_factory=dict)

    def __call__(self, round: int, preferences: Sequence[Preference]) -> dict[str, Any]:
        """Train on the round's rows, now or in a run before this one; say how training went."""
        ledger = self.session.ledger
        if ledger.finished(round, "learn") is None:
            began = perf_counter()
            metrics = self._learn(round, preferences)
            ledger.finish(round, "learn", metrics | {"seconds_learn": perf_counter() - began})
            self.session.checkpoints.drop_partial(round)
        return ledger.finished(round, "learn") or {}

    def _learn(self, round: int, preferences: Sequence[Preference]) -> dict[str, Any]:
        session, settings = self.session, self.session.phase(round).config.learn
        learner = self._learner(round)
        rows = self._rows(round, preferences, learner)
        plan = Plan.of(len(rows), settings, session.config.seed, round)
        facts = Gathering(session=session, round=round, learner=learner)(rows, plan)
        self._commit_plan(round, plan, rows)
        leg = _Leg(session=session, round=round, learner=learner)
        leg.begin(settings)
        session.watch.begin(round, "learn", len(plan.batches), "steps")
        session.watch.advance(leg.done)
        for step in learner.steps(rows, facts, plan, done=leg.done):
            leg.took(step, last=leg.done + 1 == len(plan.batches))
        if session.knowledge is not None:
            session.knowledge.learn(session.ledger.preferences(round))
        leg.finish()
        first = [rows[i] for i in plan.batches[0]]
        starts_there = _starts_at_reference(round, settings) and _is_pairwise(learner)
        expected = learner.loss_at_reference(first, facts) if starts_there else None
        return _metrics(rows, leg) | {"loss_expected_first": expected}

    def _learner(self, round: int) -> Learner:
        """One learner per phase, so that its optimizer lives on between rounds."""
        phase = self.session.phase(round)
        if phase.name not in self._learners:
            part = phase.config.learn.loss
            loss = plugins.build("losses", part.name, part.options)
            bonus = with_beta("bonuses", phase.config.learn.bonus, phase.config.learn)
            learner = Learner(self.session.policy, loss, phase.config.learn, bonus)
            if self.session.offset(round) > 0:
                learner.load_state_dict(self.session.checkpoints.load(round - 1).optimizer)
            self._learners = {phase.name: learner}
        return self._learners[phase.name]

    def _rows(self, round: int, preferences: Sequence[Preference], learner: Learner) -> list[Row]:
        """What the round learns from, in committed order: answers, or single responses."""
        settings = self.session.phase(round).config.learn
        back = {"all": round, "latest": 1, "window": settings.window}[settings.data]
        rows: list[Row] = []
        for earlier in range(max(1, round - back + 1), round):
            rows += self._committed(earlier, learner)
        rows += preferences or self._committed(round, learner)
        if not rows:
            raise ConfigError(
                f"round {round} has no answers to learn from; look at ask.oracle and ask.labels"
            )
        return rows

    def _committed(self, round: int, learner: Learner) -> Sequence[Row]:
        ledger = self.session.ledger
        if _is_pairwise(learner) or ledger.queries(round):
            return ledger.preferences(round)
        return ledger.responses(round, "train")

    def _commit_plan(self, round: int, plan: Plan, rows: Sequence[Row]) -> None:
        """Fix the order of the rows before the first step; a continued run must have the same."""
        ids = [r.id for row in rows for r in responses_of(row)]
        detail = {
            "rows": len(rows),
            "order": content_hash(ids, plan.batches),
            "threads": torch.get_num_threads(),
        }
        known = self.session.ledger.finished(round, "plan")
        if known is None:
            self.session.ledger.finish(round, "plan", detail)
        elif known["order"] != detail["order"]:
            raise RuntimeError(f"round {round}'s plan changed since it was committed")
        elif known["threads"] != detail["threads"]:
            self.session.watch.note(
                f"round {round} began with {known['threads']} threads and goes on with "
                f"{detail['threads']}: its weights may differ in the last bits"
            )


@dataclass(kw_only=True)
class _Leg:
    """One round's learning under way: what a restart must know."""

    session: Session
    round: int
    learner: Learner
    done: int = 0
    """optimizer steps taken"""
    tally: Tally = field(default_factory=Tally)
    first: dict[str, float] = field(default_factory=dict)
    """what the first step reported"""

    def begin(self, settings: Learn) -> None:
        """Start at the round's beginning, or where a killed run left off."""
        model = self.session.policy.model
        point = self.session.checkpoints.load_partial(self.round)
        if point is not None:
            load_weights(model, dict(point.weights))
            self.learner.load_state_dict(point.optimizer)
            self.tally, self.first = Tally(**point.detail["tally"]), point.detail["first"]
            self.done = point.step
            return
        if settings.init_from == "pi0":
            load_weights(model, dict(self.session.start))
        if settings.optimizer == "fresh":
            self.learner.load_state_dict({})

    def took(self, step: Tally, *, last: bool) -> None:
        """Count a step; leave a restart point where one is due or the run is asked to stop."""
        self.done += 1
        self.first = self.first or step.means()
        self.tally.add(step)
        self.session.watch.advance(1, tokens=step.tokens)
        every = self.session.config.checkpoint.steps
        due = every is not None and self.done % every == 0 and not last
        if due or self.session.stop.asked:
            self._save(self.done)
        self.session.stop.check()

    def finish(self) -> None:
        """The policy is now the round's."""
        self.session.policy.version = self.round
        self._save(-1)

    def _save(self, step: int) -> None:
        knowledge = self.session.knowledge
        self.session.checkpoints.save(
            Checkpoint(
                round=self.round,
                step=step,
                weights=weights(self.session.policy.model),
                optimizer=self.learner.state_dict(),
                detail={"tally": vars(self.tally), "first": self.first},
                knowledge=knowledge.state_dict() if knowledge is not None and step < 0 else {},
            )
        )


def _is_pairwise(learner: Learner) -> bool:
    return learner.objective.family is PairLogps


def _starts_at_reference(round: int, settings: Learn) -> bool:
    """Does the round begin with π = π_ref, so that its first loss is known?"""
    return round == 1 or settings.reference == settings.init_from


def _metrics(rows: Sequence[Row], leg: _Leg) -> dict[str, Any]:
    pairs = [row for row in rows if isinstance(row, Preference)]
    ties = sum(row.p == 0.5 for row in pairs)
    prompts = {r.prompt.id for row in rows for r in responses_of(row)}
    return {
        **leg.tally.means(),
        "loss_first": leg.first["loss"],
        "rows": len(rows),
        "rows_prompts": len(prompts),
        "ties": ties / len(pairs) if pairs else None,
        "tokens_trained": leg.tally.tokens,
    }
