"""Train a reward model on the run's answers, and keep it as an ordinary folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from prefloop import plugins, whole
from prefloop.config import ConfigError
from prefloop.learn.reward import RewardLearner
from prefloop.learn.terms import Term
from prefloop.learn.views import Views
from prefloop.measure.intervals import mean_interval
from prefloop.models.load import load_weights
from prefloop.models.reward import RewardModel
from prefloop.models.views import ViewEncoder
from prefloop.oracles._heads import aggregated
from prefloop.rng import key
from prefloop.runs.folder import writing
from prefloop.runs.language import language
from prefloop.runs.leg import Leg, commit_plan
from prefloop.runs.names import round_of
from prefloop.runs.session import Session
from prefloop.types import Preference, Response


@dataclass(kw_only=True)
class RewardLearning:
    """A round of reward training, restartable between optimizer steps; the policy stays."""

    session: Session

    def __call__(self, round: int, preferences: Sequence[Preference]) -> dict[str, Any]:
        session, settings = self.session, self.session.phase(round).config.reward
        rows, held = self._rows(round)
        model = start(session, round)
        loss = plugins.build("losses/reward", settings.loss.name, settings.loss.options)
        learner = RewardLearner(model, loss, settings, terms=self._terms(round, model))
        plan = learner.plan(rows, session.config.seed, round)
        commit_plan(session, round, plan, [*rows])
        leg = self._leg(round, learner)
        leg.resume()
        session.watch.begin(round, "reward", len(plan.batches), "steps")
        session.watch.advance(leg.done)
        for step in learner.steps(rows, plan, done=leg.done):
            leg.took(step, last=leg.done + 1 == len(plan.batches))
        model.normalise(self._samples(round))
        session.reward, session.reward_version = model, round
        self._publish(round, model)
        leg.detail = {"shift": model.shift, "gain": model.gain}
        leg.finish({"reward": model.model})
        return leg.numbers(rows) | measured(model, held)

    def _leg(self, round: int, learner: RewardLearner) -> Leg:
        trained = {name or "reward": part for name, part in learner.trained.items()}
        return Leg(session=self.session, round=round, learner=learner, trained=trained)

    def _rows(self, round: int) -> tuple[list[Preference], list[Preference]]:
        """(to learn from, to measure by): the answers of all reward rounds so far, or this one's.

        What a run said to itself measures nothing.
        """
        session, settings = self.session, self.session.phase(round).config.reward
        rounds = range(1, round + 1) if settings.data == "all" else range(round, round + 1)
        mine = [r for r in rounds if session.phase(r).learns == "reward"]
        rows = [row for r in mine for row in session.ledger.preferences(r)]
        asked = {r: session.phase(r).config.ask.oracle for r in mine}
        told = {r for r, oracle in asked.items() if oracle and oracle.name == "asserted"}
        apart = [row for row in rows if self._is_held(row, settings.holdout)]
        names = {row.query.id for row in apart}
        held = [row for row in apart if round_of(row.query.id) not in told]
        return _usable([row for row in rows if row.query.id not in names], round), held

    def _is_held(self, row: Preference, share: float) -> bool:
        return key(self.session.config.seed, "reward", row.query.prompt.id) / 2**63 < share

    def _terms(self, round: int, model: RewardModel) -> dict[str, Term]:
        """What the round's settings lower besides."""
        found = {
            "views": self._views(round, model),
            "language": language(self.session, round, model),
        }
        return {name: term for name, term in found.items() if term is not None}

    def _views(self, round: int, model: RewardModel) -> Views | None:
        settings = self.session.phase(round).config.reward
        if settings.views is None:
            return None
        groups: dict[str, list[Response]] = {}
        for response in self.session.ledger.responses(round, "train"):
            groups.setdefault(response.prompt.id, []).append(response)
        seed = key(self.session.config.seed, "views", round)
        return Views(
            model=model,
            encoder=ViewEncoder(model.head.in_features, seed=seed).to(model.head.weight),
            loss=plugins.build("losses/views", settings.views.name, settings.views.options),
            groups=list(groups.values()),
            weight=settings.views_weight,
            batch=settings.views_batch,
            seed=self.session.config.seed,
            round=round,
        )

    def _samples(self, round: int) -> list[Response]:
        """Samples of π₀ on held-out prompts; without any, those that were first asked about."""
        session, anchor = self.session, self.session.anchor(round)
        first = next(r for r in range(anchor + 1, round + 1) if session.phase(r).learns == "reward")
        drawn = session.ledger.responses(anchor, "eval")
        return drawn or session.ledger.responses(first, "train")

    def _publish(self, round: int, model: RewardModel) -> None:
        """An ordinary sequence-classification folder, whole or not at all."""
        folder = self.session.folder.rewards / f"round-{round:04d}"
        with writing(folder), whole.folder(folder) as part:
            model.save(part)


@torch.no_grad()
def measured(model: RewardModel, held: Sequence[Preference]) -> dict[str, Any]:
    """How often its score ranks a held-out pair as its answer did; ties among them say nothing."""
    decided = [row for row in held if row.p != 0.5]
    if not decided:
        return {"reward_accuracy": None, "reward_held_out": 0}
    a, b = (
        aggregated(model.scores(side), model.aggregate).tolist()
        for side in ([row.query.a for row in decided], [row.query.b for row in decided])
    )
    right = [
        0.5 if x == y else float((x > y) == (row.p > 0.5))
        for row, x, y in zip(decided, a, b, strict=True)
    ]
    found = mean_interval(right)
    return {
        "reward_accuracy": found.value,
        "reward_accuracy_low": max(0.0, found.low),
        "reward_accuracy_high": min(1.0, found.high),
        "reward_held_out": len(right),
    }


def start(session: Session, round: int) -> RewardModel:
    """Where a reward round begins: a backbone with a fresh head, or the reward model there is."""
    settings = session.phase(round).config.reward
    if settings.init_from == "previous" and session.reward is not None:
        found: RewardModel = session.reward
        return found
    seed = key(session.config.seed, "reward", round)
    if settings.path is not None:
        return RewardModel.load(
            settings.path,
            settings=session.config.model,
            fresh=settings.heads,
            seed=seed,
            aggregate=settings.aggregate,
            tokens=settings.tokens,
            reads=session.policy.loaded.tokenizer,
        )
    with session.origin(round).opened() as policy:
        return RewardModel.of(policy, heads=settings.heads, seed=seed, aggregate=settings.aggregate)


def restore(session: Session, done: int) -> None:
    """The reward model of the last reward round among those that are done, if there is one."""
    rounds = [r for r in range(1, done + 1) if session.phase(r).learns == "reward"]
    for round in rounds[-1:]:
        point = session.checkpoints.load(round)
        model = start(session, round)
        load_weights(model.model, dict(point.parts["reward"]))
        model.shift, model.gain = point.detail["shift"], point.detail["gain"]
        session.reward, session.reward_version = model, round


def _usable(rows: list[Preference], round: int) -> list[Preference]:
    """ConfigError where there is nothing, or nothing but ties, to learn from."""
    if not rows:
        raise ConfigError(
            f"round {round} trains a reward model, but no answer was given so far; look at "
            "ask.oracle, ask.labels and reward.holdout, in another run"
        )
    if all(row.p == 0.5 for row in rows):
        raise ConfigError(
            f"all {len(rows)} answers that round {round}'s reward model would learn from are ties, "
            "which say nothing of what is better; look at ask.oracle"
        )
    return rows
