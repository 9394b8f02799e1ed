"""Sub-optimality against labels, through `loop.online` itself, over many random worlds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float

from prefloop.loop import online
from prefloop.measure.intervals import Interval, mean_interval
from prefloop.oracles.bradley_terry import BradleyTerry
from prefloop.theory.lab import Lab, Method
from prefloop.theory.learned import Exact
from prefloop.theory.methods import BASELINE
from prefloop.theory.world import bandits

Curves = Float[np.ndarray, "seed round"]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A size of the experiment: so many worlds of ten responses, prior logits from N(0, 1)."""

    seeds: int = 40
    rounds: int = 40
    questions: int = 5
    """a round, of each world"""
    beta: float = 0.1
    ridge: float = 1.0
    rewards: Literal["normal", "unit"] = "normal"
    """r* from N(0, 1), or uniform between 0 and 1"""
    uniform: bool = False
    """π₀ is"""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one method did in every world."""

    method: str
    gap: Curves
    """J* − J(π) after each round, before the first in column 0"""
    labels: Float[np.ndarray, " seed"]
    """questions that could be asked: their candidates did not all coincide"""
    questions: int
    """a round"""
    right: Float[np.ndarray, " seed"]
    """1 where the reward learned ends highest at the best response"""
    beside: str = BASELINE
    """the method it is compared with"""

    @property
    def budget(self) -> int:
        """Questions in all."""
        return self.questions * int(self.gap.shape[1] - 1)

    @property
    def final(self) -> Float[np.ndarray, " seed"]:
        """Sub-optimality at the end."""
        return self.gap[:, -1]

    @property
    def regret(self) -> Float[np.ndarray, " seed"]:
        """Σ over questions of the sub-optimality of the policy that was in charge."""
        return np.asarray(self.questions * self.gap[:, :-1].sum(1))


def run_method(method: Method, setting: Setting, seeds: Sequence[int]) -> Outcome:
    """One method in the worlds of these seeds, which are the prompts of one lab, side by side."""
    lab = _lab(method, setting, seeds)
    gaps = [lab.gaps()]
    gaps += [lab.gaps() for _ in online(lab.parts(), range(1, setting.rounds + 1))]
    return Outcome(
        method=method.name,
        gap=torch.stack(gaps, dim=1).numpy(),
        labels=lab.answered.double().numpy(),
        questions=setting.questions,
        right=lab.right().numpy(),
        beside=method.beside,
    )


def compare(setting: Setting, methods: Sequence[Method]) -> list[Outcome]:
    """Every method at this setting, in the same worlds."""
    return [run_method(method, setting, range(setting.seeds)) for method in methods]


def difference(one: Outcome, other: Outcome) -> Interval:
    """Final sub-optimality of `one` minus that of `other`, world by world: 95 % t-interval."""
    return mean_interval(one.final - other.final)


def findings(outcomes: Sequence[Outcome]) -> list[str]:
    """What the numbers say in words, whoever wins."""
    ranked = sorted(outcomes, key=lambda outcome: outcome.final.mean())
    best, by_name = ranked[0], {outcome.method: outcome for outcome in outcomes}
    near = [o.method for o in ranked[1:] if difference(o, best).low <= 0]
    said = [
        f"lowest final sub-optimality: {best.method}, {_interval(mean_interval(best.final))}; "
        f"lowest regret: {min(outcomes, key=lambda o: o.regret.mean()).method}",
        f"not told apart from it: {_listed(near)}",
    ]
    for plain in {o.beside: by_name[o.beside] for o in ranked}.values():
        others = [o for o in ranked if o.beside == plain.method and o is not plain]
        verdicts = {o.method: verdict(difference(o, plain)) for o in others}
        said += [
            f"{word} {plain.method}: {_listed([m for m, w in verdicts.items() if w == word])}"
            for word in ("better than", "worse than", "not told apart from")
        ]
    idle = [f"{o.method} {o.labels.mean():.0f}" for o in ranked if o.labels.mean() < o.budget / 2]
    if idle:
        said.append(
            f"asked less than half of {ranked[0].budget} questions, the candidates of the others "
            f"coincided: {_listed(idle)}"
        )
    return said


def verdict(gap: Interval) -> str:
    """What the interval of a difference of sub-optimalities says of the first."""
    return "better than" if gap.high < 0 else "worse than" if gap.low > 0 else "not told apart from"


def _listed(names: Sequence[str]) -> str:
    return "; ".join(names) if names else "none"


def _lab(method: Method, setting: Setting, seeds: Sequence[int]) -> Lab:
    world = bandits(seeds, uniform=setting.uniform, rewards=setting.rewards)
    return Lab(
        world=world,
        oracle=BradleyTerry(scorer=world, labels="sampled", seed=seeds[0]),
        method=method,
        learned=Exact(world, beta=setting.beta, ridge=setting.ridge, bonus=method.bonus),
        beta=setting.beta,
        questions=setting.questions * len(seeds),
        seed=seeds[0],
    )


def _interval(found: Interval) -> str:
    return f"{found.value:.3f} (95 % {found.low:.3f} to {found.high:.3f})"
