"""The loop of the package with exact parts: a tabular policy over a finite world."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.explore._distinct import distinct
from prefloop.learn.collate import needs_of
from prefloop.loop import Metrics, Parts
from prefloop.rng import stream
from prefloop.theory import closed
from prefloop.theory.bonuses import Bonus
from prefloop.theory.enhancer import enhancer
from prefloop.theory.learned import Learned
from prefloop.theory.tabular import Table, TabularPolicy
from prefloop.theory.world import World
from prefloop.types import (
    Candidates,
    Missing,
    Oracle,
    Preference,
    Prompt,
    Query,
    Response,
    SamplingSettings,
    Source,
)

Rule = Callable[[Candidates, np.random.Generator], tuple[int, int]]
Proposer = Source | Literal["enhancer"]
Own = Float[np.ndarray, "prompt member response"]


@dataclass(frozen=True, kw_only=True)
class Method:
    """Who proposes the candidates, which two are asked about, and what the fit hopes for.

    A proposer gives so many samples, or `all`: every response there is. The enhancer is GSHF's
    second agent, the exact thing that `hot` stands in for, and is named so. A rule that needs
    members is given samples of the posterior as scores, one that needs features the posterior's;
    any other ranks by the policy's own implicit reward β log π/π₀.
    """

    name: str
    rule: Rule
    sources: Mapping[Proposer, int | Literal["all"]]
    bonus: Bonus | None = None
    beside: str = "π × π"
    """the method it is compared with"""


@dataclass(kw_only=True)
class Lab:
    """The five verbs over a finite world; `parts()` is what `loop.online` runs.

    Every round `questions` prompts are taken in turn; one whose candidates all coincide costs its
    turn and teaches nothing. `learned` is what the policy becomes from all answers so far.
    """

    world: World
    oracle: Oracle
    method: Method
    learned: Learned
    beta: float = 0.1
    questions: int = 5
    seed: int = 0
    members: int = 32
    """posterior samples a round"""
    hot: float = 2.0
    """temperature of the source of that name"""
    policy: TabularPolicy = field(init=False)

    def __post_init__(self) -> None:
        self.policy = self.learned.policy
        self._before = TabularPolicy(self.world, Table(self.world), source="previous")
        self._who = {
            "policy": self.policy,
            "reference": TabularPolicy(self.world, source="reference"),
            "previous": self._before,
            "hot": TabularPolicy(self.world, self.policy.model, source="hot"),
            "enhancer": TabularPolicy(self.world, Table(self.world), source="hot"),
        }
        self._needs = needs_of(self.method.rule)
        self.answered = torch.zeros(len(self.world.prompts), dtype=torch.long)
        """answers so far, by prompt"""

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
        """Candidates for prompts in turn, with the scores and features that the rule needs."""
        rng, every = stream(self.seed, "sample", round), self.world.prompts
        first = (round - 1) * self.questions
        prompts = [every[(first + i) % len(every)] for i in range(self.questions)]
        groups = [self._propose(source, prompts, rng) for source in self.method.sources]
        scores, features = self._scores(round), self._features()
        found = []
        for prompt, *together in zip(prompts, *groups, strict=True):
            responses = tuple(response for group in together for response in group)
            x, places = prompt.tokens[0], [self.world.place(r)[1] for r in responses]
            found.append(
                Candidates(
                    prompt=prompt,
                    responses=responses,
                    scores=scores[x][:, places],
                    features=None if features is None else features[x][places],
                )
            )
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
        for row in preferences:
            self.answered[row.query.prompt.tokens[0]] += 1
        self._before.model.load_state_dict({"logits": self.policy.table()})
        self.learned.take(round, preferences)
        return {"labels": int(self.answered.sum())}

    def measure(self, round: int) -> Metrics:
        """Exact sub-optimality and KL, averaged over prompts."""
        kl = closed.kl(self.policy.table(), self.world.prior)
        return {"gap": float(self.gaps().mean()), "kl": float(kl.mean())}

    def gaps(self) -> Float[Tensor, " prompt"]:
        """J* − J(π) of every prompt."""
        world = self.world
        return closed.gap(self.policy.table(), world.prior, world.known_reward, self.beta)

    def right(self) -> Float[Tensor, " prompt"]:
        """1 where the highest implicit reward is the highest reward, by prompt."""
        implied = self.policy.table() - self.world.prior
        return (implied.argmax(-1) == self.world.known_reward.argmax(-1)).double()

    def _propose(
        self, source: Proposer, prompts: Sequence[Prompt], rng: np.random.Generator
    ) -> list[list[Response]]:
        who, count = self._who[source], self.method.sources[source]
        if source == "enhancer":
            features = torch.from_numpy(self.learned.posterior().features)
            second = enhancer(self.policy.table(), features, eta=self.beta, scale=1.0, turns=6)
            who.model.load_state_dict({"logits": second})
        if count == "all":
            return who.every(prompts)
        settings = SamplingSettings(temperature=self.hot if source == "hot" else 1.0)
        return who.sample(prompts, n=count, settings=settings, rng=rng)

    def _scores(self, round: int) -> Own:
        """Posterior samples, or one member: the implicit reward, its ties unbroken by rounding."""
        if "members" in self._needs:
            rng = stream(self.seed, "posterior", round)
            return self.learned.posterior().draw(self.members, rng)
        implied = self.beta * (self.policy.table() - self.world.prior)
        return implied.numpy().round(12)[:, None]

    def _features(self) -> Float[np.ndarray, "prompt response feature"] | None:
        return self.learned.posterior().features if "features" in self._needs else None
