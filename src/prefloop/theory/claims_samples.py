"""Claims about samplers and KL estimates: by enumeration, never by sampling."""

from itertools import pairwise, product
from math import exp, prod

import torch
from torch import Tensor

from prefloop.measure.best_of import kl_bound
from prefloop.theory import closed
from prefloop.theory.claim import claim, dice, farthest, law, normal
from prefloop.theory.world import sequence_logps, sequences

BON, KL = "arXiv:2401.01879", "Schulman 2020, KL approximation"


def enumerated_extremes(prior: Tensor, reward: Tensor, n: int) -> Tensor:
    """P(best = row, worst = column) of n draws, by going through all of them."""
    joint = torch.zeros(len(prior), len(prior), dtype=torch.float64)
    for draws in product(range(len(prior)), repeat=n):
        ordered = sorted(draws, key=lambda y: float(reward[y]))
        joint[ordered[-1], ordered[0]] += prod(float(prior[y].exp()) for y in draws)
    return joint


@claim(BON, tolerance=1e-12)
def best_and_worst_of_n_have_these_laws() -> float:
    """P(best of n = y) = F(y)ⁿ − F(y⁻)ⁿ, and so for the worst and for both at once."""
    g, worst = dice(70), 0.0
    for n in (2, 3, 4):
        prior, reward = law(g, 4), normal(g, 4)
        joint = enumerated_extremes(prior, reward, n)
        worst = max(
            worst,
            farthest(closed.best_and_worst_of(prior, reward, n), joint),
            farthest(closed.best_of(prior, reward, n), joint.sum(1)),
            farthest(closed.worst_of(prior, reward, n), joint.sum(0)),
        )
    return worst


@claim(BON, tolerance=0.0)
def best_of_n_is_this_close_to_where_it_drew() -> float:
    """KL(best of n‖π₀) ≤ log n − (n−1)/n."""
    g = dice(71)
    prior, reward = law(g, 100, 6), normal(g, 100, 6)
    excess = [
        closed.kl(closed.best_of(prior, reward, n).log(), prior) - kl_bound(n)
        for n in (2, 4, 16, 256)
    ]
    return float(torch.stack(excess).max())


@claim(BON, tolerance=1e-3)
def without_ties_the_bound_is_attained() -> float:
    """Over 20,000 equally likely responses KL(best of 4‖π₀) is the bound, to a thousandth."""
    size = 20_000
    prior = torch.zeros(size, dtype=torch.float64).log_softmax(0)
    best = closed.best_of(prior, torch.arange(size, dtype=torch.float64), 4)
    return abs(float(closed.kl(best.log(), prior)) - kl_bound(4))


@claim(BON, tolerance=0.0)
def best_of_n_wins_at_most_n_in_n_plus_one() -> float:
    """Best of n beats a draw of π₀, ties counting half, with probability ≤ n/(n+1)."""
    g, worst = dice(72), -1.0
    for n in (2, 4, 16):
        prior, reward = law(g, 6), normal(g, 6)
        beats = (torch.sign(reward[:, None] - reward) + 1) / 2
        rate = closed.best_of(prior, reward, n) @ beats @ prior.exp()
        worst = max(worst, float(rate) - n / (n + 1))
    return worst


def tilt_at(distance: Tensor, prior: Tensor, reward: Tensor) -> Tensor:
    """log π of the tilt that is that many nats from its prior, by bisection on log β."""
    low, high = -10.0, 10.0
    for _ in range(80):
        middle = (low + high) / 2
        too_far = closed.kl(closed.tilt(prior, reward, exp(middle)), prior) > distance
        low, high = (middle, high) if too_far else (low, middle)
    return closed.tilt(prior, reward, exp(high))


@claim("Gibbs variational principle", tolerance=0.0)
def at_equal_kl_the_tilt_earns_more_than_best_of_n() -> float:
    """No policy as close to π₀ as best of n has a larger E r than the tilt at that KL."""
    g, worst = dice(73), -float("inf")
    for n in (2, 4, 8):
        prior, reward = law(g, 6), normal(g, 6)
        best = closed.best_of(prior, reward, n)
        tilted = tilt_at(closed.kl(best.log(), prior), prior, reward).exp()
        worst = max(worst, float((best - tilted) @ reward))
    return worst


@claim("arXiv:2312.11456, multi-step rejection sampling", tolerance=1e-12)
def rejection_in_steps_accepts_as_rarely_as_at_once() -> float:
    """Tilting by r/β in steps, the accepted shares multiply to that of one step, Z/e^(max r/β).

    Steps help only where each law on the way is amortised: their costs then add up instead.
    """
    g, beta, worst = dice(79), 0.1, 0.0
    for steps in (2, 4, 10):
        prior, reward = law(g, 6), normal(g, 6)
        laws = [closed.tilt(prior, reward, beta * steps / k) for k in range(1, steps + 1)]
        shares = [closed.accepted(p, q) for p, q in pairwise([prior, *laws])]
        once = closed.accepted(prior, laws[-1])
        formula = (closed.value(prior, reward, beta) - reward.max()) / beta
        worst = max(worst, farthest(torch.stack(shares).log().sum(), once.log()))
        worst = max(worst, farthest(once.log(), formula))
    return worst


def two_laws(seed: int) -> tuple[Tensor, Tensor]:
    """Laws over the 15 texts of the small autoregressive world."""
    g = dice(seed)
    sharp, flat = normal(g, 3, 3), 0.5 * normal(g, 3, 3)
    return sequence_logps(sharp, sequences()), sequence_logps(flat, sequences())


@claim(KL, tolerance=1e-12)
def k1_and_k3_are_unbiased_and_k2_is_not() -> float:
    """E k1 = E k3 = KL(π‖π₀); E k2 differs."""
    p, q = two_laws(74)
    means = {name: p.exp() @ k for name, k in closed.kl_estimators(p - q).items()}
    if abs(float(means["k2"] - closed.kl(p, q))) < 1e-3:
        return float("inf")
    return max(farthest(means[name], closed.kl(p, q)) for name in ("k1", "k3"))


@claim(KL, tolerance=0.0)
def k3_does_not_always_vary_less_than_k1() -> float:
    """Lower variance is no law: for π = (.999, .001), π₀ = (½, ½) k3 has over 4 times k1's."""
    p = torch.tensor([0.999, 0.001], dtype=torch.float64)
    k = closed.kl_estimators((p / 0.5).log())
    spread = {name: p @ (x - p @ x) ** 2 for name, x in k.items()}
    return float(4 * spread["k1"] - spread["k3"])


def loss_gradient(name: str, logits: Tensor, prior: Tensor) -> Tensor:
    """E_π of the estimator's gradient at fixed samples: what it does as a term of a loss."""
    weight = logits.softmax(0).detach()

    def term(x: Tensor) -> Tensor:
        return weight @ closed.kl_estimators(x.log_softmax(0) - prior)[name]

    slope: Tensor = torch.func.grad(term)(logits)
    return slope


@claim("Alignment Guidebook, KL estimators", tolerance=1e-12)
def as_a_loss_k1_does_nothing() -> float:
    """The expected gradient of k1 at fixed samples is zero: a score has mean zero."""
    g = dice(75)
    return float(loss_gradient("k1", normal(g, 6), law(g, 6)).abs().max())


@claim("Alignment Guidebook, KL estimators", tolerance=1e-12)
def as_a_loss_k2_is_the_reverse_kl() -> float:
    """The expected gradient of k2 is ∇KL(π‖π₀)."""
    g = dice(76)
    logits, prior = normal(g, 6), law(g, 6)
    true = torch.func.grad(lambda x: closed.kl(x.log_softmax(0), prior))(logits)
    return farthest(loss_gradient("k2", logits, prior), true)


@claim("Alignment Guidebook, KL estimators", tolerance=1e-12)
def as_a_loss_k3_is_the_forward_kl() -> float:
    """The expected gradient of k3 is ∇KL(π₀‖π), not that of the KL it estimates."""
    g = dice(77)
    logits, prior = normal(g, 6), law(g, 6)
    true = torch.func.grad(lambda x: closed.kl(prior, x.log_softmax(0)))(logits)
    return farthest(loss_gradient("k3", logits, prior), true)
