"""Claims about what a reward model rests at."""

from collections.abc import Callable
from functools import partial
from math import log

import torch
from torch import Tensor

from prefloop.batches import ListScores, PairScores, PointScores
from prefloop.losses.dpo import dpo
from prefloop.losses.reward.bradley_terry import bradley_terry
from prefloop.losses.reward.kwise import kwise
from prefloop.losses.reward.margin import margin
from prefloop.losses.reward.plackett_luce import plackett_luce
from prefloop.losses.reward.regression import regression
from prefloop.losses.reward.scaled import scaled
from prefloop.theory import comparisons, rewards
from prefloop.theory.claim import claim, dice, farthest, law, normal, win_counts
from prefloop.theory.fit import fit, minimise
from prefloop.theory.world import preference_world

PAIRS, LISTS = "arXiv:2203.02155", "arXiv:2301.11270"


def resting_gap(loss: Callable[[PairScores], Tensor], p: Tensor, strength: Tensor) -> Tensor:
    """The gap at which the loss of each pair has its minimum."""

    def summed(gap: Tensor) -> Tensor:
        return loss(PairScores(a=gap, b=torch.zeros_like(gap), p=p, strength=strength)).sum()

    return minimise(summed, torch.zeros_like(p))


def resting_scores(
    loss: Callable[[PairScores], Tensor], wins: Tensor, strength: Tensor | None = None
) -> Tensor:
    """The scores, summing to zero, that minimise the loss over these wins."""
    first, second = (wins > 0).nonzero(as_tuple=True)
    count, one = wins[first, second], torch.ones(len(first), dtype=wins.dtype)
    strong = None if strength is None else strength[first, second]

    def summed(s: Tensor) -> Tensor:
        return count @ loss(PairScores(a=s[first], b=s[second], p=one, strength=strong))

    return level(minimise(summed, torch.zeros_like(wins[0])))


def resting_on_lists(loss: Callable[[ListScores], Tensor], reward: Tensor) -> Tensor:
    """The scores, summing to zero, that minimise the loss over all rankings, as often as they come.

    Rankings come from Plackett and Luce's law of this reward.
    """
    every = rewards.orders(len(reward))
    rank = (every.argsort(dim=1) + 1).flatten().to(reward)
    whose = torch.arange(len(every)).repeat_interleave(len(reward))
    often = rewards.ranking_law(reward)

    def mean(s: Tensor) -> Tensor:
        return often @ loss(ListScores(score=s.repeat(len(every)), rank=rank, list=whose))

    return level(minimise(mean, torch.zeros_like(reward)))


def level(scores: Tensor) -> Tensor:
    """The scores moved so that they sum to zero."""
    return scores - scores.mean(-1, keepdim=True)


@claim("arXiv:2305.18290, eq. 7", tolerance=1e-8)
def dpo_is_a_reward_model_up_to_a_level() -> float:
    """Fitted to the same answers, DPO's β log(π/π₀) is the Bradley–Terry reward plus a constant."""
    g, worst = dice(200), 0.0
    for beta in (0.1, 0.5, 2.0):
        wins, prior = win_counts(g, 5), law(g, 5)
        total = wins + wins.T
        rate = torch.where(total > 0, wins / total.clamp(min=1), 0.5)
        world = preference_world(prior[None], rate[None])
        policy = fit(world, partial(dpo, beta=beta), weights=total[None])[0]
        implicit = beta * level(policy - prior)
        worst = max(worst, farthest(implicit, resting_scores(bradley_terry, wins)))
    return worst


@claim(f"Luce 1959; {LISTS}", tolerance=1e-12)
def pairs_of_a_plackett_luce_ranking_are_bradley_terry() -> float:
    """P(i before j) in a ranking chosen best first is σ(r_i − r_j), whoever else is ranked."""
    reward = 2 * normal(dice(201), 5)
    found = rewards.ranks_before(rewards.ranking_law(reward), 5)
    expected = torch.sigmoid(reward[:, None] - reward)
    return farthest(found, expected - 0.5 * torch.eye(5, dtype=torch.float64))


@claim(LISTS, tolerance=1e-8)
def rankings_determine_the_reward() -> float:
    """On rankings as often as they come, Plackett–Luce's only rest is the reward, up to a level."""
    reward = normal(dice(202), 4)
    return farthest(resting_on_lists(plackett_luce, reward), level(reward))


@claim(f"{PAIRS}, eq. 1; {LISTS}", tolerance=1e-8)
def so_do_all_pairs_of_a_ranking() -> float:
    """The mean over a ranking's pairs rests at the same reward, though they are not independent."""
    reward = normal(dice(203), 4)
    return farthest(resting_on_lists(kwise, reward), level(reward))


@claim("arXiv:2305.14387, noise", tolerance=1e-8)
def flipped_labels_shrink_every_gap_below_a_bound() -> float:
    """With a share ε of flips Bradley–Terry's gap ends below log((1−ε)/ε): log 3 at a quarter."""
    gap, worst = torch.tensor([-6.0, -0.5, 0.5, 4.0, 12.0], dtype=torch.float64), 0.0
    for rate in (0.05, 0.25, 0.4):
        p = (1 - rate) * torch.sigmoid(gap) + rate * torch.sigmoid(-gap)
        found = resting_gap(bradley_terry, p, 0 * p)
        beyond = float(found.abs().max()) - log((1 - rate) / rate)
        worst = max(worst, farthest(found, rewards.flipped_gap(gap, rate)), beyond)
    return worst


@claim("arXiv:2307.09288, eq. 2", tolerance=1e-8)
def a_margin_widens_what_is_unequal() -> float:
    """With a margin a pair rests wider than its log-odds, by less than the margin; ties stay."""
    p = torch.tensor([0.1, 0.45, 0.5, 0.6, 0.9, 0.99], dtype=torch.float64)
    off = 0.0
    for m in (0.3, 1.0, 3.0):
        strength = torch.full_like(p, m)
        found = resting_gap(margin, p, strength)
        more = (found.abs() - torch.logit(p).abs()) * (p != 0.5)
        outside = max(float((-more).max()), float(more.max()) - m)
        off = max(off, farthest(found, rewards.margin_gap(p, strength)), outside)
    return off


@claim("arXiv:2410.01257", tolerance=1e-8)
def strengths_count_answers() -> float:
    """Scaled by its strengths Bradley–Terry rests where it does with every win so often again."""
    g = dice(204)
    wins = win_counts(g, 5)
    strength = 1 + 2 * torch.rand(5, 5, generator=g, dtype=torch.float64)
    found = resting_scores(scaled, wins, strength)
    return farthest(found, comparisons.bradley_terry(wins * strength))


@claim("arXiv:2406.08673; arXiv:2406.12845", tolerance=1e-9)
def missing_ratings_do_not_move_the_mean() -> float:
    """With `known` regression rests at the mean of the ratings there are; else few weigh more."""
    g = dice(205)
    target = normal(g, 12, 3)
    target[torch.rand(12, 3, generator=g, dtype=torch.float64) < 0.4] = torch.nan

    def rest(loss: Callable[[PointScores], Tensor]) -> Tensor:
        said = lambda s: loss(PointScores(score=s.expand(12, 3), target=target)).sum()
        return minimise(said, torch.zeros_like(target[0]))

    each = (~target.isnan()).to(target).sum(1).clamp(min=1)
    return max(
        farthest(rest(partial(regression, known=2.0)), rewards.mean_rating(target, 0 * each + 1)),
        farthest(rest(regression), rewards.mean_rating(target, 1 / each)),
    )
