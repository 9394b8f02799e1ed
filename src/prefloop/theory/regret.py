"""Sub-optimality against labels, through `loop.online` itself, over many random worlds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from prefloop.loop import online
from prefloop.measure.intervals import Interval, mean_interval
from prefloop.oracles.bradley_terry import BradleyTerry
from prefloop.theory.claim import dice
from prefloop.theory.lab import METHODS, Exact, Lab, Method
from prefloop.theory.world import World, random_world

Curves = Float[np.ndarray, "seed round"]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A size of the experiment. Worlds have ten responses, r* and prior logits from N(0, 1)."""

    seeds: int = 40
    rounds: int = 40
    questions: int = 5
    """a round"""
    beta: float = 0.1
    ridge: float = 1.0


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


def run_method(method: Method, setting: Setting, seeds: Iterable[int]) -> Outcome:
    """One method in the worlds of these seeds; every method meets the same worlds."""
    gaps, labels = [], []
    for seed in seeds:
        lab = _lab(method, setting, seed)
        start = lab.measure(0)["gap"]
        steps = list(online(lab.parts(), range(1, setting.rounds + 1)))
        gaps.append([start, *(step["gap"] for step in steps)])
        labels.append(float(lab.labels))
    return Outcome(
        method=method.name,
        gap=np.array(gaps),
        labels=np.array(labels),
        questions=setting.questions,
    )


def compare(setting: Setting, methods: Sequence[Method] = METHODS) -> list[Outcome]:
    """Every method at this setting."""
    return [run_method(method, setting, range(setting.seeds)) for method in methods]


def difference(one: Outcome, other: Outcome) -> Interval:
    """Final sub-optimality of `one` minus that of `other`, world by world: 95 % t-interval."""
    return mean_interval(one.final - other.final)


def offline(
    sizes: Sequence[int], setting: Setting, method: Method = METHODS[2]
) -> Float[np.ndarray, "seed size"]:
    """Sub-optimality of DPO on N answers about pairs of π₀: the loop with a single round."""
    found = []
    for size in sizes:
        once = Setting(
            seeds=setting.seeds, rounds=1, questions=size, beta=setting.beta, ridge=setting.ridge
        )
        found.append(run_method(method, once, range(once.seeds)).final)
    return np.stack(found, axis=1)


def slope(sizes: Sequence[int], gaps: Float[np.ndarray, "seed size"]) -> float:
    """The log–log slope of the mean gap in N, by least squares."""
    return float(np.polyfit(np.log(np.asarray(sizes)), np.log(gaps.mean(0)), 1)[0])


def findings(outcomes: Sequence[Outcome], baseline: str = "π × π") -> list[str]:
    """What the numbers say in words, with intervals, whoever wins."""
    ranked = sorted(outcomes, key=lambda outcome: outcome.final.mean())
    best, plain = ranked[0], next(o for o in outcomes if o.method == baseline)
    near = [o.method for o in ranked[1:] if difference(o, best).low <= 0]
    return [
        f"lowest final sub-optimality: {best.method}, {_interval(mean_interval(best.final))}; "
        f"lowest regret: {min(outcomes, key=lambda o: o.regret.mean()).method}",
        f"not told apart from it: {', '.join(near) if near else 'none'}",
        *(_beside(outcome, plain) for outcome in ranked if outcome is not plain),
        *(
            f"{o.method} asked only {o.labels.mean():.0f} of {o.budget} questions: the candidates "
            "of the others coincided"
            for o in ranked
            if o.labels.mean() < o.budget / 2
        ),
    ]


def _beside(outcome: Outcome, plain: Outcome) -> str:
    gap = difference(outcome, plain)
    told = "better than" if gap.high < 0 else "worse than" if gap.low > 0 else "not told apart from"
    return f"{outcome.method} is {told} {plain.method}: difference {_interval(gap)}"


def _lab(method: Method, setting: Setting, seed: int) -> Lab:
    world: World = random_world(dice(seed))
    return Lab(
        world=world,
        oracle=BradleyTerry(scorer=world, labels="sampled", seed=seed),
        method=method,
        learned=Exact(world, beta=setting.beta, ridge=setting.ridge),
        beta=setting.beta,
        questions=setting.questions,
        seed=seed,
    )


def _interval(found: Interval) -> str:
    return f"{found.value:.3f} (95 % {found.low:.3f} to {found.high:.3f})"
