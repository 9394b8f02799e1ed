"""Claims about the regularised preference game and its Nash point."""

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from prefloop.batches import PairLogps
from prefloop.losses.inpo import inpo
from prefloop.losses.ipo import ipo
from prefloop.losses.online_ipo import online_ipo
from prefloop.losses.sppo import sppo
from prefloop.theory import closed, comparisons, games
from prefloop.theory.claim import claim, dice, farthest, law, normal, preferences
from prefloop.theory.fit import fit, minimise
from prefloop.theory.world import preference_world

NLHF = "arXiv:2312.00886"


@claim(NLHF, tolerance=1e-11)
def the_nash_point_answers_itself() -> float:
    """π ∝ π₀ exp(P(· ≻ π)/β) at the Nash point, and nothing exploits it."""
    g, worst = dice(50), 0.0
    for beta in (0.02, 0.1, 1.0):
        prior, p = law(g, 6), preferences(g, 6)
        point = games.nash(prior, p, beta)
        answer = closed.tilt(prior, p @ point.exp(), beta)
        exploited = float(games.exploitability(point, prior, p, beta).abs())
        worst = max(worst, farthest(point.exp(), answer.exp()), exploited)
    return worst


@claim(NLHF, tolerance=1e-9)
def exploitability_is_the_best_response_value() -> float:
    """What the best opponent wins beyond ½ is β log Σ π₀e^{P·π/β} + β KL(π‖π₀) − ½."""
    g, beta = dice(51), 0.2
    prior, policy, p = law(g, 5), law(g, 5), preferences(g, 5)
    against = p @ policy.exp()
    answer = minimise(lambda x: -closed.objective(x.log_softmax(0), prior, against, beta), prior)
    best = closed.objective(answer.log_softmax(0), prior, against, beta)
    found = best + beta * closed.kl(policy, prior) - 0.5
    return farthest(games.exploitability(policy, prior, p, beta), found)


@claim(f"{NLHF}; Alignment Guidebook, erratum", tolerance=1e-11)
def with_reward_differences_nash_is_the_rlhf_optimum() -> float:
    """For the payoff r − r' the Nash point is π₀ exp(+r/β)/Z (the printed minus is exploitable)."""
    g, beta = dice(52), 0.5
    prior, reward = law(g, 5), normal(g, 5)
    payoff = reward[:, None] - reward
    wrong = closed.tilt(prior, -reward, beta)
    if games.exploitability(wrong, prior, payoff, beta) < 0.1:
        return float("inf")
    return farthest(games.nash(prior, payoff, beta), closed.tilt(prior, reward, beta))


@claim(f"{NLHF}, §3.2", tolerance=1e-6)
def a_cycle_is_settled_by_mixing() -> float:
    """Rock–paper–scissors with edges a, b, c has the Nash point (c, b, a)/(a + b + c) as β → 0."""
    g, worst = dice(53), 0.0
    for _ in range(5):
        a, b, c = (0.1 + 0.3 * torch.rand(3, generator=g, dtype=torch.float64)).tolist()
        found = games.nash(law(g, 3), games.cycle(a, b, c), 1e-8).exp()
        expected = torch.tensor([c, b, a], dtype=torch.float64) / (a + b + c)
        worst = max(worst, farthest(found, expected))
    return worst


@claim(f"{NLHF}, Nash-MD", tolerance=0.0)
def nash_md_comes_closer_at_every_step() -> float:
    """KL(π*‖π⁺) ≤ (1 − ηβ) KL(π*‖π) + 2η² for every policy, game and step η."""
    g, worst = dice(54), -float("inf")
    for _ in range(60):
        prior, policy, p = law(g, 4), law(g, 4), preferences(g, 4)
        step = float(torch.rand((), generator=g)) / 0.3
        best = games.nash(prior, p, 0.3)
        moved = games.nash_md(policy, prior, p, 0.3, step)
        allowed = (1 - step * 0.3) * closed.kl(best, policy) + 2 * step**2
        worst = max(worst, float(closed.kl(best, moved) - allowed))
    return worst


@claim(f"{NLHF}, Nash-MD", tolerance=0.0)
def nash_md_converges_with_decreasing_steps() -> float:
    """With η_t = 2/(β(t+2)), KL(π*‖π_T) ≤ 8/(β²(T+1)); here it is a thousandth of that."""
    prior, p, beta = law(dice(55), 3), games.cycle(0.3, 0.2, 0.1), 0.1
    best, policy, worst = games.nash(prior, p, beta), prior, -float("inf")
    for t in range(500):
        policy = games.nash_md(policy, prior, p, beta, 2 / (beta * (t + 2)))
        worst = max(worst, float(closed.kl(best, policy)) - 8 / (beta**2 * (t + 2)))
    return max(worst, float(closed.kl(best, policy)) - 8e-3 / (beta**2 * 501))


@claim(f"{NLHF}, Nash-MD", tolerance=0.0)
def a_constant_step_leaves_a_bias() -> float:
    """At a fixed η Nash-MD settles away from the Nash point, the farther the larger η."""
    prior, p, beta = law(dice(56), 3), games.cycle(0.3, 0.2, 0.1), 0.1
    best, floors = games.nash(prior, p, beta), []
    for step in (0.5, 1.0, 2.0):
        policy = prior
        for _ in range(600):
            policy = games.nash_md(policy, prior, p, beta, step)
        floors.append(float(closed.kl(best, policy)))
    return max(1e-6 - floors[0], floors[0] - floors[1], floors[1] - floors[2])


@claim("arXiv:2403.08635, online IPO", tolerance=1e-9)
def ipo_against_itself_rests_at_nash() -> float:
    """IPO with pairs drawn from the Nash point gives back the Nash point."""
    g, beta = dice(57), 0.3
    prior, p = law(g, 5), preferences(g, 5)
    point = games.nash(prior, p, beta)
    weights = torch.outer(point.exp(), point.exp())[None]
    world = preference_world(prior[None], p[None])
    found = [fit(world, partial(loss, beta=beta), weights=weights)[0] for loss in (ipo, online_ipo)]
    return max(farthest(policy.exp(), point.exp()) for policy in found)


@claim(NLHF, tolerance=0.0)
def a_reward_fitted_to_a_cycle_is_exploitable() -> float:
    """The RLHF optimum of the best Bradley–Terry fit to a cycle stays exploitable (by > 0.01)."""
    prior, p = law(dice(58), 3), games.cycle(0.3, 0.2, 0.1)
    fitted = comparisons.bradley_terry(100 * (p - p.diag().diag()))
    rlhf = closed.tilt(prior, fitted, 0.1)
    return 0.01 - float(games.exploitability(rlhf, prior, p, 0.1))


@claim("arXiv:2407.00617, INPO", tolerance=1e-9)
def inpo_takes_a_mirror_step() -> float:
    """INPO on pairs of π_t has the minimiser π₀^(τ/η) π_t^(1−τ/η) exp(P(· ≻ π_t)/η)/Z."""
    g, worst = dice(59), 0.0
    for eta, tau in ((0.5, 0.0), (0.5, 0.2), (0.3, 0.3)):
        prior, present, p = law(g, 4), law(g, 4), preferences(g, 4)

        def loss(y: PairLogps, now: Tensor = present, eta: float = eta, tau: float = tau) -> Tensor:
            size = len(now)
            prev_a, prev_b = now.repeat_interleave(size), now.repeat(size)
            return inpo(replace(y, prev_a=prev_a, prev_b=prev_b), eta=eta, tau=tau)

        weights = torch.outer(present.exp(), present.exp())[None]
        found = fit(preference_world(prior[None], p[None]), loss, weights=weights)[0]
        expected = games.mirror_step(present, prior, p, eta, tau)
        worst = max(worst, farthest(found.exp(), expected.exp()))
    return worst


@claim("arXiv:2407.00617, INPO", tolerance=1e-11)
def mirror_steps_rest_at_nash() -> float:
    """At the Nash point of the game regularised by τ the step leaves the policy, any η ≥ τ."""
    g, worst = dice(60), 0.0
    for eta, tau in ((0.2, 0.2), (1.0, 0.2), (5.0, 0.2)):
        prior, p = law(g, 4), preferences(g, 4)
        point = games.nash(prior, p, tau)
        worst = max(worst, farthest(games.mirror_step(point, prior, p, eta, tau), point))
    return worst


@claim("derived for arXiv:2405.00675, SPPO", tolerance=0.02)
def sppo_takes_a_mirror_step_only_if_the_step_is_small() -> float:
    """SPPO's minimiser is π_t exp(P(· ≻ π_t)/β)/Z up to a share of the step below 0.02/β².

    It regresses onto (P − ½)/β as if that were normalised; at β = 0.1 it misses by over a third.
    """
    g = dice(61)
    present, p = law(g, 4), preferences(g, 4)
    weights, wins = torch.outer(present.exp(), present.exp())[None], p @ present.exp()

    def share(beta: float) -> float:
        loss = partial(_with_wins, wins=wins, beta=beta)
        found = fit(preference_world(present[None], p[None]), loss, weights=weights)[0]
        step = games.mirror_step(present, present, p, beta)
        return farthest(found, step) / farthest(step, present)

    if share(0.1) < 1 / 3:
        return float("inf")
    return max(share(beta) * beta**2 for beta in (1.0, 10.0, 100.0))


def _with_wins(y: PairLogps, *, wins: Tensor, beta: float) -> Tensor:
    size = len(wins)
    win_a, win_b = wins.repeat_interleave(size), wins.repeat(size)
    return sppo(replace(y, win_a=win_a, win_b=win_b), beta=beta)
