"""Learning from N answers collected beforehand: DPO, pessimistic VPO and lower bounds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.measure.intervals import Interval, mean_interval
from prefloop.theory import closed, comparisons
from prefloop.theory.bonuses import Value
from prefloop.theory.fit import adamw
from prefloop.theory.newton import settle, together
from prefloop.theory.posterior import Posterior
from prefloop.theory.regret import Setting, verdict
from prefloop.theory.world import World, bandits

Wins = Float[Tensor, "prompt response response"]
Table = Float[Tensor, "prompt response"]
Learner = Callable[[World, Wins, float], Table]
"""(world, answers, β) → log π"""
Gaps = dict[str, Float[np.ndarray, "seed size"]]
"""learner → sub-optimality in every world at every N"""
NEAR_ZERO = 0.01
"""a ridge next to none: without any DPO has no minimiser on few answers"""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """The exact fit with a ridge, with or without a value bonus."""

    ridge: float = NEAR_ZERO
    bonus: Value | None = None

    def __call__(self, world: World, wins: Wins, beta: float) -> Table:
        terms = [comparisons.likelihood(wins, ridge=self.ridge)]
        if self.bonus is not None:
            terms.append(self.bonus.term(world.prior, wins, beta))
        found = settle(together(*terms), torch.zeros_like(world.prior), tolerance=1e-9)
        return closed.tilt(world.prior, found, beta)


@dataclass(frozen=True, kw_only=True)
class LowerBound:
    """The tilt by r̂ − scale · sd(r(y) − E_π₀ r), GSHF's option II (arXiv:2312.11456)."""

    ridge: float = 1.0
    scale: float = 1.0

    def __call__(self, world: World, wins: Wins, beta: float) -> Table:
        mode = comparisons.bradley_terry(wins, ridge=self.ridge)
        phi = Posterior.laplace(wins, mode, ridge=self.ridge).factor
        centre = world.prior.exp().unsqueeze(-2) @ phi
        low, _ = comparisons.bounds(mode, (phi - centre).norm(dim=-1), self.scale)
        return closed.tilt(world.prior, low, beta)


@dataclass(frozen=True, kw_only=True)
class Descended:
    """AdamW steps on the policy's logits, a thousand as VPO's bandit was run; no ridge."""

    bonus: Value | None = None
    steps: int = 1000

    def __call__(self, world: World, wins: Wins, beta: float) -> Table:
        def lost(logits: Tensor) -> Tensor:
            reward = beta * (logits.log_softmax(-1) - world.prior)
            total = comparisons.loss(wins, reward)
            if self.bonus is None:
                return total.sum()
            return (total + self.bonus.term(world.prior, wins, beta)(reward)[0]).sum()

        return adamw(lost, world.prior, steps=self.steps).log_softmax(-1)


def pessimism(alpha: float, calibration: str = "reference") -> Value:
    """Offline VPO."""
    return Value(alpha=alpha, mode="offline", calibration=calibration)  # type: ignore[arg-type]


LEARNERS: dict[str, Learner] = {
    "DPO": Fitted(),
    "VPO, π₀, α = 1": Fitted(bonus=pessimism(1.0)),
    "VPO, π₀, α = 10": Fitted(bonus=pessimism(10.0)),
    "VPO, chosen, α = 10": Fitted(bonus=pessimism(10.0, "chosen")),
    "DPO, ridge 1": Fitted(ridge=1.0),
    "VPO, π₀, α = 10, ridge 1": Fitted(ridge=1.0, bonus=pessimism(10.0)),
    "lower bound, ridge 1": LowerBound(),
}
DESCENDED: dict[str, Learner] = {
    "DPO, AdamW": Descended(),
    "VPO, π₀, α = 10, AdamW": Descended(bonus=pessimism(10.0)),
}


def collect(setting: Setting, sizes: Sequence[int]) -> tuple[World, dict[int, Wins]]:
    """Answers about N pairs of π₀ × π₀ in every world; those for fewer are among those for more.

    A pair of equal responses counts among the N and teaches nothing, as where samples are drawn
    and labelled.
    """
    world = bandits(range(setting.seeds), rewards=setting.rewards, uniform=setting.uniform)
    g, most = torch.Generator().manual_seed(0), max(sizes)
    a, b = (torch.multinomial(world.prior.exp(), most, True, generator=g) for _ in "ab")
    prompt = torch.arange(setting.seeds).unsqueeze(1)
    chance = torch.rand((setting.seeds, most), generator=g, dtype=torch.float64)
    won = (chance < world.preference[prompt, a, b]).double()
    return world, {n: _counted(a[:, :n], b[:, :n], won[:, :n], world) for n in sizes}


def compare(
    setting: Setting, sizes: Sequence[int], betas: Sequence[float], learners: Mapping[str, Learner]
) -> dict[float, Gaps]:
    """Sub-optimality of every learner at every β, from the same answers in the same worlds."""
    world, answers = collect(setting, sizes)

    def gaps(learner: Learner, beta: float) -> Float[np.ndarray, "seed size"]:
        policies = (learner(world, answers[size], beta) for size in sizes)
        lost = [closed.gap(p, world.prior, world.known_reward, beta) for p in policies]
        return np.asarray(torch.stack(lost, dim=1).numpy())

    return {
        beta: {name: gaps(learner, beta) for name, learner in learners.items()} for beta in betas
    }


def difference(gaps: Gaps, one: str, other: str) -> list[Interval]:
    """Sub-optimality of `one` minus that of `other` at every N: paired 95 % t-intervals."""
    return [mean_interval(column) for column in (gaps[one] - gaps[other]).T]


def findings(gaps: Gaps, sizes: Sequence[int], baseline: str = "DPO") -> list[str]:
    """What the numbers say in words: where each learner is better than the baseline."""
    said = []
    for name in gaps:
        if name != baseline:
            verdicts = [verdict(interval) for interval in difference(gaps, name, baseline)]
            words = [
                f"{word} {baseline} at N = {', '.join(map(str, places))}"
                for word in dict.fromkeys(verdicts)
                if (places := [n for n, w in zip(sizes, verdicts, strict=True) if w == word])
            ]
            said.append(f"{name}: {'; '.join(words)}")
    return said


def slope(sizes: Sequence[int], gaps: Float[np.ndarray, "seed size"]) -> float:
    """The log–log slope of the mean gap in N, by least squares."""
    return float(np.polyfit(np.log(np.asarray(sizes)), np.log(gaps.mean(0)), 1)[0])


def _counted(a: Tensor, b: Tensor, won: Tensor, world: World) -> Wins:
    """How often row beat column; nothing of a response against itself."""
    prompt = torch.arange(len(a)).unsqueeze(1).expand_as(a)
    wins, apart = torch.zeros_like(world.preference), (a != b).double()
    wins.index_put_((prompt, a, b), won * apart, accumulate=True)
    wins.index_put_((prompt, b, a), (1 - won) * apart, accumulate=True)
    return wins
