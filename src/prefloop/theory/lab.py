"""The loop of the package with exact parts: a tabular policy, and a fit without an optimizer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from prefloop.config import Learn
from prefloop.explore._distinct import distinct
from prefloop.explore.best_random import best_random
from prefloop.explore.best_worst import best_worst
from prefloop.explore.on_policy import on_policy
from prefloop.explore.policy_vs_reference import policy_vs_reference
from prefloop.learn.facts import Facts
from prefloop.learn.learner import Learner, Plan
from prefloop.learn.objective import Loss
from prefloop.loop import Metrics, Parts
from prefloop.rng import stream
from prefloop.theory import closed, comparisons
from prefloop.theory.tabular import Table, TabularPolicy
from prefloop.theory.world import World
from prefloop.types import (
    Candidates,
    Missing,
    Oracle,
    Preference,
    Query,
    SamplingSettings,
    Source,
)


@runtime_checkable
class Learned(Protocol):
    """What turns answers into a policy."""

    policy: TabularPolicy

    def take(self, round: int, preferences: Sequence[Preference]) -> None:
        """Learn from a round's answers."""
        ...


Rule = Callable[[Candidates, np.random.Generator], tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class Method:
    """Who proposes the candidates, and which two of them are asked about."""

    name: str
    rule: Rule
    sources: Mapping[Source, int]


METHODS = (
    Method(name="π × π", rule=on_policy, sources={"policy": 2}),
    Method(name="on_policy of 4", rule=on_policy, sources={"policy": 4}),
    Method(name="π₀ × π₀", rule=on_policy, sources={"reference": 2}),
    Method(
        name="policy_vs_reference",
        rule=policy_vs_reference,
        sources={"policy": 1, "reference": 1},
    ),
    Method(name="best_random of 4", rule=best_random, sources={"policy": 4}),
    Method(name="best_worst of 4", rule=best_worst, sources={"policy": 4}),
    Method(name="best_worst of 2 + 2", rule=best_worst, sources={"policy": 2, "reference": 2}),
)
"""Rules that rank do so by the policy's own implicit reward β log π/π₀."""


@dataclass(kw_only=True)
class Lab:
    """The five verbs over a finite world; `parts()` is what `loop.online` runs.

    Every round `questions` prompts are drawn; one whose candidates all coincide costs its draw and
    teaches nothing. `learned` is what the policy becomes from all answers so far.
    """

    world: World
    oracle: Oracle
    method: Method
    learned: Learned
    beta: float = 0.1
    questions: int = 5
    seed: int = 0
    policy: TabularPolicy = field(init=False)
    labels: int = 0
    """answers so far"""

    def __post_init__(self) -> None:
        self.policy = self.learned.policy
        self._reference = TabularPolicy(self.world, source="reference")

    def parts(self) -> Parts:
        """The lab as the parts of the loop."""
        return Parts(
            sample=self.sample,
            choose=self.choose,
            ask=self.ask,
            learn=self.learn,
            measure=self.measure,
        )

    def sample(self, round: int) -> list[Candidates]:
        """Candidates for prompts drawn at random, scored by the implicit reward."""
        rng = stream(self.seed, "sample", round)
        drawn = rng.integers(len(self.world.prompts), size=self.questions)
        prompts = [self.world.prompts[x] for x in drawn]
        who = {"policy": self.policy, "reference": self._reference}
        settings = SamplingSettings()
        groups = [
            who[source].sample(prompts, n=n, settings=settings, rng=rng)
            for source, n in self.method.sources.items()
        ]
        scores = self.beta * (self.policy.table() - self.world.prior).numpy()
        scores = scores.round(12)  # rounding errors must not break ties
        found = []
        for prompt, *together in zip(prompts, *groups, strict=True):
            responses = tuple(response for group in together for response in group)
            own = np.array([[scores[self.world.place(r)] for r in responses]])
            found.append(Candidates(prompt=prompt, responses=responses, scores=own))
        return found

    def choose(self, round: int, candidates: Sequence[Candidates]) -> list[Query]:
        """The rule's pair among distinct candidates; none where all coincide."""
        rng, found = stream(self.seed, "choose", round), []
        for number, options in enumerate(candidates):
            apart = distinct(options)
            if apart is not None:
                a, b = (apart.responses[i] for i in self.method.rule(apart, rng))
                if a.text != b.text:
                    found.append(Query(prompt=options.prompt, a=a, b=b, id=f"{round}/{number}"))
        return found

    def ask(self, round: int, queries: Sequence[Query]) -> list[Preference]:
        """The oracle's answers."""
        answers = {answer.query_id: answer.p for answer in self.oracle.ask(queries)}
        got = [(query, answers[query.id]) for query in queries]
        return [Preference(query=q, p=p) for q, p in got if not isinstance(p, Missing)]

    def learn(self, round: int, preferences: Sequence[Preference]) -> Metrics:
        """Hand the answers over."""
        self.labels += len(preferences)
        self.learned.take(round, preferences)
        return {"labels": self.labels}

    def measure(self, round: int) -> Metrics:
        """Exact sub-optimality and KL, averaged over prompts."""
        table, world = self.policy.table(), self.world
        lost = closed.gap(table, world.prior, world.known_reward, self.beta)
        return {"gap": float(lost.mean()), "kl": float(closed.kl(table, world.prior).mean())}


class Exact:
    """After every round the policy is DPO's minimiser on all answers, ridge on the reward.

    It is the tilt by the Bradley–Terry fit (claim `dpo_on_data_tilts_by_…`); the ridge is a
    normal prior with that inverse variance, and makes the fit exist from the first answer on.
    """

    def __init__(self, world: World, *, beta: float, ridge: float = 1.0) -> None:
        self.world, self.beta, self.ridge = world, beta, ridge
        self._table = Table(world)
        self.policy = TabularPolicy(world, self._table)
        self._wins = torch.zeros_like(world.preference)
        self._reward = torch.zeros_like(world.prior)

    def take(self, round: int, preferences: Sequence[Preference]) -> None:
        """Count the answers, refit, and set the policy."""
        for row in preferences:
            (x, a), (_, b) = self.world.place(row.query.a), self.world.place(row.query.b)
            self._wins[x, a, b] += row.p
            self._wins[x, b, a] += 1 - row.p
        for x, (wins, start) in enumerate(zip(self._wins, self._reward.clone(), strict=True)):
            self._reward[x] = comparisons.bradley_terry(wins, ridge=self.ridge, start=start)
        with torch.no_grad():
            self._table.logits.copy_(closed.tilt(self.world.prior, self._reward, self.beta))


@dataclass(kw_only=True)
class Stepped:
    """The package's own learner: AdamW steps on the round's answers, as a transformer takes."""

    policy: TabularPolicy
    loss: Loss
    settings: Learn
    seed: int = 0

    @cached_property
    def _learner(self) -> Learner:
        return Learner(self.policy, self.loss, self.settings)

    def take(self, round: int, preferences: Sequence[Preference]) -> None:
        """One round of steps; nothing where there are no answers."""
        asked = [r for row in preferences for r in (row.query.a, row.query.b)]
        ref = {r.id: float(self.policy.world.prior[self.policy.world.place(r)]) for r in asked}
        plan = Plan.of(len(preferences), self.settings, self.seed, round)
        for _ in self._learner.steps(list(preferences), Facts(ref=ref), plan):
            pass
