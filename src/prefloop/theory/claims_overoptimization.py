"""Claims about optimising a proxy: when the true reward turns over, and what foretells it."""

from itertools import product
from math import inf

import numpy as np
import torch

from prefloop.measure import best_of, overoptimization
from prefloop.theory import closed
from prefloop.theory import overoptimization as lab
from prefloop.theory.claim import claim, dice, law, normal

GAO, GUIDE = "arXiv:2210.10760", "Alignment Guidebook, KL paths"
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)
COUNTS = (1, 2, 4, 8, 16, 64, 256, 1024)
HACKS = 10


def along(which: str, hacks: int) -> tuple[lab.Place, ...]:
    """The guidebook's world of 1000 responses, tilted or best of n."""
    world = lab.noisy(hacks=hacks)
    return tuple(world.tilted(STRENGTHS) if which == "tilted" else world.best_of(COUNTS))


def crossing(path: tuple[lab.Place, ...]) -> float:
    """The farthest accurate KL, infinite where it is never crossed."""
    kl, right = [place.kl for place in path], [place.accuracy for place in path]
    found = overoptimization.farthest_accurate_kl(kl, right)
    return inf if found is None else found


def rises(values: list[float]) -> float:
    """The largest fall between neighbours: at most 0 if there is none."""
    return float(-np.diff(values).min())


@claim(GUIDE, tolerance=0.0)
def an_independent_error_never_turns_gold_over() -> float:
    """Where the proxy's error is noise on every response, gold rises all the way.

    Pairs of the tilted policy are never ordered right less than ¾ of the time, and in the end
    more often than at first: it collapses on responses that differ a lot.
    """
    path = along("tilted", 0)
    worse = path[0].accuracy - path[-1].accuracy
    unsafe = 0.0 if crossing(path) == inf else 1.0
    return max(rises([place.gold for place in path]), worse, unsafe)


@claim(GUIDE, tolerance=1e-8)
def one_percent_of_hacks_turns_it_over() -> float:
    """With 10 hacks in 1000 the proxy rises to 4.00, gold to .300 at KL .52 and down to −1.84."""
    path = along("tilted", HACKS)
    if rises([place.proxy for place in path]) > 0:
        return inf
    top = max(path, key=lambda place: place.gold)
    found = (top.kl, top.gold, path[-1].proxy, path[-1].gold)
    expected = (0.52081013, 0.29974586, 4.00329873, -1.83647190)
    return float(np.abs(np.subtract(found, expected)).max())


@claim(GUIDE, tolerance=1e-8)
def accuracy_on_own_pairs_foretells_it() -> float:
    """The proxy is right on ¾ of the policy's pairs up to KL .154, and gold turns only after."""
    path = along("tilted", HACKS)
    before = max(path, key=lambda place: place.gold).kl - crossing(path)
    return inf if before < 0 else abs(crossing(path) - 0.15400260)


@claim("measured in the same world", tolerance=0.0)
def accuracy_alone_does_not_mean_gold_is_falling() -> float:
    """Along best of n accuracy falls below ¾ under independent noise too, while gold only rises.

    Its draws are all good, hence alike, and hard to order.
    """
    path = along("best of n", 0)
    return max(rises([place.gold for place in path]), min(p.accuracy for p in path) - 0.75)


@claim("measured in the same world", tolerance=0.0)
def best_of_n_gets_farther_before_it_turns() -> float:
    """With hacks, gold is larger at its best on best of n than anywhere on the tilted path.

    n draws seldom hold a rare response; a tilt raises it exponentially. Both turn in the end.
    """
    chosen = [place.gold for place in along("best of n", HACKS)]
    tilted = max(place.gold for place in along("tilted", HACKS))
    return max(tilted - max(chosen), chosen[-1] - chosen[0])


@claim("covariance of exponential tilts", tolerance=1e-12)
def gold_rises_by_its_covariance_with_the_proxy() -> float:
    """On π ∝ π₀ exp(λ r̂), dE r/dλ = Cov_π(r, r̂): gold peaks where the two covary no more."""
    g, worst = dice(100), 0.0
    for _ in range(20):
        world = lab.Hackable(prior=law(g, 6), proxy=normal(g, 6), gold=normal(g, 6))
        slope = torch.func.grad(lambda x, w=world: (w.prior + x * w.proxy).softmax(-1) @ w.gold)
        at = normal(g, 1)[0].abs()
        worst = max(worst, abs(float(slope(at)) - world.slope(float(at))))
    return worst


@claim("five arms, one of them a hack", tolerance=1e-8)
def a_rare_favourite_of_the_proxy_turns_gold_over_early() -> float:
    """The fifth response is rare, the proxy's best and truly the worst: gold peaks at KL .073.

    There β = 1.8194 and gold .181, from .135 at π₀; at β = ½ it is −.221 while the proxy has 1.391.
    """
    world = lab.five_arms()
    top, hacked = world.tilted((1 / 1.8193697, 2.0))
    found = (1 / lab.turning_point(world), top.kl, top.gold, hacked.proxy, hacked.gold)
    expected = (1.8193697, 0.0732990940, 0.1807699872, 1.3912512545, -0.2213336267)
    errors = np.abs(np.subtract(found, expected))
    return float(max(errors[0] / 10, *errors[1:]))


@claim(f"{GAO}, regressional Goodhart", tolerance=2e-3)
def an_independent_normal_error_takes_its_share_at_every_n() -> float:
    """Gold of the best of n by X + Z is Var X/(Var X + Var Z) of the proxy's gain, for all n."""
    worst = 0.0
    for spread in (0.6, 1.0):
        world = _normal_world(spread)
        for n in (2, 4, 16, 64):
            p = closed.best_of(world.prior, world.proxy, n)
            expected = overoptimization.regressional(
                float(p @ world.proxy), gold_variance=1.0, error_variance=spread**2
            )
            worst = max(worst, abs(float(p @ world.gold) - expected))
    return worst


def _normal_world(spread: float) -> lab.Hackable:
    """Gold and error on grids of their own, weighed like normal laws; hardly any sums coincide."""
    gold = torch.linspace(-6, 6, 161, dtype=torch.float64)
    error = torch.linspace(-6, 6, 149, dtype=torch.float64) * spread * 1.0001
    weight = -(gold[:, None] ** 2) / 2 - (error / spread) ** 2 / 2
    proxy = (gold[:, None] + error).flatten()
    meant = gold[:, None].expand(-1, len(error)).flatten()
    return lab.Hackable(prior=weight.flatten().log_softmax(0), proxy=proxy, gold=meant)


@claim(f"{GAO}, the unbiased estimator", tolerance=1e-12)
def every_sample_can_serve_every_n() -> float:
    """Gold of the proxy's best of n, estimated from N ≥ n samples, is right on average.

    Over every sample of four responses there can be, against F(y)ⁿ − F(y⁻)ⁿ.
    """
    world, size, worst = lab.five_arms(), 4, 0.0
    p, proxy, gold = (x.numpy() for x in (world.prior.exp(), world.proxy, world.gold))
    drawn = [np.array(index) for index in product(range(len(p)), repeat=size)]
    for n in (1, 2, 3, 4):
        found = sum(float(p[i].prod()) * best_of.mean(gold[i], proxy[i], n) for i in drawn)
        exact = float(closed.best_of(world.prior, world.proxy, n) @ world.gold)
        worst = max(worst, abs(found - exact))
    return worst
