"""Learn: a round's answers to new weights, restartable between optimizer steps."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any

import torch

from prefloop import plugins
from prefloop.batches import PairLogps
from prefloop.config import ConfigError, Learn
from prefloop.learn.collate import Row, responses_of
from prefloop.learn.learner import Learner, Plan
from prefloop.learn.step import Tally
from prefloop.models.load import load_weights, weights
from prefloop.runs.checkpoints import Checkpoint
from prefloop.runs.session import Session
from prefloop.types import Preference, content_hash


@dataclass(kw_only=True)
class Learning:
    """The verb `learn` of a run."""

    session: Session
    _learners: dict[str, Learner] = field(default_factory=dict)

    def __call__(self, round: int, preferences: Sequence[Preference]) -> dict[str, Any]:
        """Train on the round's rows; return what training looked like."""
        ledger = self.session.ledger
        if ledger.finished(round, "learn") is None:
            began = perf_counter()
            metrics = self._learn(round, preferences)
            metrics["seconds_learn"] = perf_counter() - began
            ledger.finish(round, "learn", metrics)
            self.session.checkpoints.drop_partial(round)
        return ledger.finished(round, "learn") or {}

    def _learn(self, round: int, preferences: Sequence[Preference]) -> dict[str, Any]:
        session, settings = self.session, self.session.phase(round).config.learn
        learner = self._learner(round)
        rows = self._rows(round, preferences, learner)
        ref = self._reference(round, rows, settings)
        plan = Plan.of(len(rows), settings, session.config.seed, round)
        self._commit_plan(round, plan, rows)
        tally, first, done = self._begin(round, learner, settings)
        session.watch.begin(round, "learn", len(plan.batches), "steps")
        session.watch.advance(done)
        for step in learner.steps(rows, ref, plan, done=done):
            done += 1
            first = first or step.means()
            tally.add(step)
            session.watch.advance(1, tokens=step.tokens)
            self._between_steps(round, done, len(plan.batches), learner, tally, first, settings)
        session.policy.version = round
        session.checkpoints.save(self._point(round, -1, learner, tally, first))
        expected = self._expected(round, rows, plan, ref, learner, settings)
        return _metrics(rows, tally, first, expected)

    def _learner(self, round: int) -> Learner:
        """One learner per phase, so that its optimizer lives on between rounds."""
        phase = self.session.phase(round)
        if phase.name not in self._learners:
            part = phase.config.learn.loss
            loss = plugins.build("losses", part.name, part.options)
            learner = Learner(self.session.policy, loss, phase.config.learn)
            self._learners = {phase.name: learner}
            if self.session.offset(round) > 0:
                learner.load_state_dict(self.session.checkpoints.load(round - 1).optimizer)
        return self._learners[phase.name]

    def _begin(
        self, round: int, learner: Learner, settings: Learn
    ) -> tuple[Tally, dict[str, float], int]:
        """Where to start: at the round's beginning, or where a killed run left off."""
        point = self.session.checkpoints.load_partial(round)
        if point is not None:
            load_weights(self.session.policy.model, dict(point.weights))
            learner.load_state_dict(point.optimizer)
            return Tally(**point.detail["tally"]), point.detail["first"], point.step
        if settings.init_from == "pi0":
            load_weights(self.session.policy.model, dict(self.session.start))
        if settings.optimizer == "fresh":
            learner.load_state_dict({})
        return Tally(), {}, 0

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
        if learner.stepper.family is PairLogps or ledger.queries(round):
            return ledger.preferences(round)
        return ledger.responses(round, "train")

    def _reference(self, round: int, rows: Sequence[Row], settings: Learn) -> dict[str, float]:
        """log π_ref of every response: of π₀, or of the policy as the round begins."""
        session = self.session
        responses = list({r.id: r for row in rows for r in responses_of(row)}.values())
        session.watch.begin(round, "reference", len(responses), "responses")
        if settings.reference == "pi0" or round == 1:
            return session.frozen_logps("pi0", partial(session.initial, session.policy), responses)
        return session.frozen_logps(f"round {round - 1}", session.current, responses)

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

    def _between_steps(
        self,
        round: int,
        done: int,
        total: int,
        learner: Learner,
        tally: Tally,
        first: dict[str, float],
        settings: Learn,
    ) -> None:
        """Leave a restart point where one is due, or where the run is asked to stop."""
        every = self.session.config.checkpoint.steps
        due = every is not None and done % every == 0 and done < total
        if due or self.session.stop.asked:
            self.session.checkpoints.save(self._point(round, done, learner, tally, first))
        self.session.stop.check()

    def _point(
        self, round: int, step: int, learner: Learner, tally: Tally, first: dict[str, float]
    ) -> Checkpoint:
        detail = {"tally": vars(tally), "first": first}
        return Checkpoint(
            round=round,
            step=step,
            weights=weights(self.session.policy.model),
            optimizer=learner.state_dict(),
            detail=detail,
        )

    def _expected(
        self,
        round: int,
        rows: Sequence[Row],
        plan: Plan,
        ref: dict[str, float],
        learner: Learner,
        settings: Learn,
    ) -> float | None:
        """The first step's loss at π = π_ref, where the round starts at its reference."""
        at_start = settings.reference == "previous" and settings.init_from == "previous"
        if learner.stepper.family is not PairLogps:
            return None
        if not (at_start or round == 1 or settings.reference == settings.init_from):
            return None
        return learner.loss_at_reference([rows[i] for i in plan.batches[0]], ref)


def _metrics(
    rows: Sequence[Row], tally: Tally, first: dict[str, float], expected: float | None
) -> dict[str, Any]:
    pairs = [row for row in rows if isinstance(row, Preference)]
    ties = sum(row.p == 0.5 for row in pairs)
    return {
        **tally.means(),
        "loss_first": first["loss"],
        "loss_expected_first": expected,
        "rows": len(rows),
        "ties": ties / len(pairs) if pairs else None,
        "tokens_trained": tally.tokens,
    }
