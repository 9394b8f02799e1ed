"""What turns answers into a policy: an exact fit, or the package's own learner."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch

from prefloop.config import Learn
from prefloop.learn.facts import Facts
from prefloop.learn.learner import Learner, Plan
from prefloop.learn.objective import Loss
from prefloop.theory import closed, comparisons
from prefloop.theory.bonuses import Bonus
from prefloop.theory.newton import Term, settle, together
from prefloop.theory.posterior import Posterior
from prefloop.theory.tabular import Table, TabularPolicy
from prefloop.theory.world import World
from prefloop.types import Preference


@runtime_checkable
class Learned(Protocol):
    """What turns answers into a policy."""

    policy: TabularPolicy

    def take(self, round: int, preferences: Sequence[Preference]) -> None:
        """Learn from a round's answers."""
        ...

    def posterior(self) -> Posterior:
        """What the answers so far leave open; ValueError where nobody knows."""
        ...


class Exact:
    """After every round the policy is DPO's minimiser on all answers, ridge on the reward.

    It is the tilt by the Bradley–Terry fit (claim `dpo_on_data_tilts_by_…`), with a bonus by the
    biased fit. The ridge is a normal prior with that inverse variance, and makes the fit exist from
    the first answer on. Without one a value bonus beyond α_crit is refused.
    """

    def __init__(
        self, world: World, *, beta: float, ridge: float = 1.0, bonus: Bonus | None = None
    ) -> None:
        self.world, self.beta, self.ridge, self.bonus = world, beta, ridge, bonus
        self._table = Table(world)
        self.policy = TabularPolicy(world, self._table)
        self.wins = torch.zeros_like(world.preference)
        """how often row beat column, so far"""
        self.reward = torch.zeros_like(world.prior)

    def take(self, round: int, preferences: Sequence[Preference]) -> None:
        """Count the answers, refit, and set the policy."""
        if preferences:
            places = [
                (*self.world.place(row.query.a), self.world.place(row.query.b)[1], row.p)
                for row in preferences
            ]
            x, a, b, p = zip(*places, strict=True)
            won = torch.tensor(p, dtype=torch.float64)
            prompt, first, second = (torch.tensor(column) for column in (x, a, b))
            self.wins.index_put_((prompt, first, second), won, accumulate=True)
            self.wins.index_put_((prompt, second, first), 1 - won, accumulate=True)
        self.reward = settle(self._objective(), self.reward, tolerance=1e-9)
        with torch.no_grad():
            self._table.logits.copy_(closed.tilt(self.world.prior, self.reward, self.beta))

    def posterior(self) -> Posterior:
        """Laplace around the fit."""
        return Posterior.laplace(self.wins, self.reward, ridge=self.ridge)

    def _objective(self) -> Term:
        fit = comparisons.likelihood(self.wins, ridge=self.ridge)
        if self.bonus is None:
            return fit
        if self.ridge == 0:
            self.bonus.check(self.world.prior, self.wins)
        return together(fit, self.bonus.term(self.world.prior, self.wins, self.beta))


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
        plan = Plan.of(range(len(preferences)), self.settings, self.seed, round)
        for _ in self._learner.steps(list(preferences), Facts(ref=ref), plan):
            pass

    def posterior(self) -> Posterior:
        """Steps of a policy know nothing of what they leave open."""
        raise ValueError(
            "this rule needs members or features, which a stepped policy has not; learn with "
            "Exact, or take a rule that needs neither, such as policy_vs_reference"
        )
