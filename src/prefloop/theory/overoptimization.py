"""Worlds in which a proxy reward is optimised and the true one is known for every response."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.theory import closed

Arms = Float[Tensor, " response"]


class Place(NamedTuple):
    """Where a policy stands."""

    kl: float
    """from π₀"""
    accuracy: float
    """how often the proxy orders two different responses of the policy as the truth does"""
    proxy: float
    gold: float


@dataclass(frozen=True, kw_only=True)
class Hackable:
    """Responses with a proxy reward, which is optimised, and a gold one, which is meant."""

    prior: Arms
    """log π₀"""
    proxy: Arms
    gold: Arms

    def place(self, policy: Arms) -> Place:
        """KL, accuracy and both mean rewards of a policy given by its log-probabilities."""
        p = policy.exp()
        return Place(
            float(closed.kl(policy, self.prior)),
            accuracy(policy, self.proxy, self.gold),
            float(p @ self.proxy),
            float(p @ self.gold),
        )

    def tilted(self, strengths: Iterable[float]) -> list[Place]:
        """Along π ∝ π₀ exp(λ · proxy): what RL towards the proxy at β = 1/λ ends at."""
        return [self.place((self.prior + x * self.proxy).log_softmax(-1)) for x in strengths]

    def best_of(self, counts: Iterable[int]) -> list[Place]:
        """Along the best of n draws by the proxy."""
        return [self.place(closed.best_of(self.prior, self.proxy, n).log()) for n in counts]

    def slope(self, strength: float) -> float:
        """d E gold / dλ on the tilted path: the covariance of gold and proxy under the policy."""
        p = (self.prior + strength * self.proxy).softmax(-1)
        return float(p @ (self.gold * (self.proxy - p @ self.proxy)))


def accuracy(policy: Arms, proxy: Arms, gold: Arms) -> float:
    """P(the proxy orders two draws as gold does | the draws differ), a tie counting half."""
    p = policy.exp()
    agrees = (proxy[:, None] - proxy).sign() * (gold[:, None] - gold).sign()
    return float(0.5 + 0.5 * (p @ agrees @ p) / (1 - p @ p))


def turning_point(world: Hackable, low: float = 1e-3, high: float = 50.0) -> float:
    """The λ at which gold stops rising on the tilted path, by bisection on its slope."""
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if world.slope(middle) > 0 else (low, middle)
    return (low + high) / 2


def noisy(responses: int = 1000, hacks: int = 0) -> Hackable:
    """Gold N(0, 1), proxy gold + .6 N(0, 1), uniform π₀: the guidebook's world, by its seed.

    With `hacks`, the proxy of so many of the worst responses is set to 2.5 − gold/2: it errs most
    where it is highest, which independent noise does not.
    """
    rng = np.random.default_rng(1)
    gold = rng.normal(size=responses)
    proxy = gold + 0.6 * rng.normal(size=responses)
    worst = np.argsort(gold)[:hacks]
    proxy[worst] = 2.5 - gold[worst] / 2
    prior = torch.zeros(responses, dtype=torch.float64).log_softmax(0)
    return Hackable(prior=prior, proxy=torch.from_numpy(proxy), gold=torch.from_numpy(gold))


def five_arms() -> Hackable:
    """Five responses, the rarest of which the proxy likes best and the truth least."""
    prior = torch.tensor([0.40, 0.25, 0.20, 0.10, 0.05], dtype=torch.float64).log()
    proxy = torch.tensor([0.2, -0.5, 1.0, 0.3, 2.0], dtype=torch.float64)
    gold = torch.tensor([0.2, -0.5, 1.0, 0.3, -1.0], dtype=torch.float64)
    return Hackable(prior=prior, proxy=proxy, gold=gold)
