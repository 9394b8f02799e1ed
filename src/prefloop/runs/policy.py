"""Train the policy: on answers, on single responses, or on what its samples were worth."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from prefloop import plugins
from prefloop.batches import PairLogps
from prefloop.config import Config, ConfigError, Learn
from prefloop.learn.facts import Row
from prefloop.learn.learner import Learner
from prefloop.models.critic import ValueHead
from prefloop.models.load import load_weights
from prefloop.models.reward import RewardModel
from prefloop.runs.facts import Gathering
from prefloop.runs.keep import kept
from prefloop.runs.leg import Leg, commit_plan
from prefloop.runs.session import Session
from prefloop.runs.wants import needs, with_beta
from prefloop.types import Preference

SHARED_RATE = 100
"""how many times as fast as the policy a fresh head on its states learns"""


@dataclass(kw_only=True)
class PolicyLearning:
    """A round of policy training, restartable between optimizer steps."""

    session: Session
    _learners: dict[str, Learner] = field(default_factory=dict)

    def __call__(self, round: int, preferences: Sequence[Preference]) -> dict[str, Any]:
        session, learner = self.session, self._learner(round)
        rows = self._rows(round, preferences, learner)
        plan = learner.plan(rows, session.config.seed, round)
        facts = Gathering(session=session, round=round, learner=learner)(rows, plan)
        commit_plan(session, round, plan, rows)
        leg = self._leg(round, learner)
        if not leg.resume():
            self._begin(round, learner)
        session.watch.begin(round, "learn", len(plan.batches), "steps")
        session.watch.advance(leg.done)
        for step in learner.steps(rows, facts, plan, done=leg.done):
            leg.took(step, last=leg.done + 1 == len(plan.batches))
        if session.knowledge is not None:
            session.knowledge.learn(session.ledger.preferences(round))
        leg.finish(leg.trained)
        first = [rows[i] for i in plan.batches[0]]
        known = _starts_at_reference(round, learner.settings) and _is_pairwise(learner)
        expected = learner.loss_at_reference(first, facts) if known else None
        return leg.numbers(rows) | dict(facts.said) | {"loss_expected_first": expected}

    def _leg(self, round: int, learner: Learner) -> Leg:
        knowledge = self.session.knowledge
        trained: dict[str, nn.Module] = {"weights": learner.policy.model}
        if learner.critic is not None:
            trained["critic"] = learner.critic.model
        also: Mapping[str, Mapping[str, Tensor]] = {}
        return Leg(
            session=self.session,
            round=round,
            learner=learner,
            trained=trained,
            also=lambda: also if knowledge is None else {"knowledge": knowledge.state_dict()},
            detail={"beta": learner.beta},
        )

    def _begin(self, round: int, learner: Learner) -> None:
        """Go back where the settings say so: to π₀'s weights, to an optimizer without a past."""
        settings = self.session.phase(round).config.learn
        if settings.init_from == "pi0":
            load_weights(self.session.policy.model, dict(self.session.origin_weights(round)))
        if settings.optimizer == "fresh":
            learner.load_state_dict({})

    def _learner(self, round: int) -> Learner:
        """One learner per phase, so that its optimizer lives on between rounds."""
        phase = self.session.phase(round)
        if phase.name not in self._learners:
            part = phase.config.learn.loss
            loss = plugins.build("losses", part.name, part.options)
            learner = Learner(
                self.session.policy,
                loss,
                phase.config.learn,
                with_beta("bonuses", phase.config.learn.bonus, phase.config.learn),
                critic=self._critic(round),
                critic_lr=_critic_rate(phase.config),
                temperature=phase.config.sample.temperature,
            )
            learner.beta = phase.config.credit.beta
            if self.session.offset(round) > 0:
                self._restore(learner, round - 1)
            self._learners = {phase.name: learner}
        return self._learners[phase.name]

    def _restore(self, learner: Learner, round: int) -> None:
        """What the learner knew at the end of a round."""
        point = self.session.checkpoints.load(round)
        learner.load_state_dict(point.optimizer)
        learner.beta = point.detail["beta"]
        if learner.critic is not None:
            load_weights(learner.critic.model, dict(point.parts["critic"]))

    def _critic(self, round: int) -> RewardModel | ValueHead | None:
        """For a loss that needs values."""
        config, policy = self.session.phase(round).config, self.session.policy
        starts: dict[str, Callable[[], RewardModel | ValueHead]] = {
            "reward": lambda: self.session.reward.critic(),
            "zero": lambda: RewardModel.of(policy, zero=True),
            "shared": lambda: ValueHead(policy),
        }
        has_values = "value" in needs("losses", config.learn.loss)
        return starts[config.credit.critic]() if has_values else None

    def _rows(self, round: int, preferences: Sequence[Preference], learner: Learner) -> list[Row]:
        """What the round learns from, in committed order: answers, or single responses."""
        settings = self.session.phase(round).config.learn
        back = {"all": round, "latest": 1, "window": settings.window}[settings.data]
        asks, offset = self.session.phase(round).asks, self.session.offset(round)
        first = 1 if asks else round - offset  # samples of another phase are another law's
        rows: list[Row] = []
        for earlier in range(max(first, round - back + 1), round):
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
        return kept(self.session, round)


def _critic_rate(config: Config) -> float:
    times = SHARED_RATE if config.credit.critic == "shared" else 1
    return config.credit.critic_lr or times * config.learn.lr


def _is_pairwise(learner: Learner) -> bool:
    return learner.objective.family is PairLogps


def _starts_at_reference(round: int, settings: Learn) -> bool:
    """Does the round begin with π = π_ref, so that its first loss is known?"""
    return round == 1 or settings.reference == settings.init_from
