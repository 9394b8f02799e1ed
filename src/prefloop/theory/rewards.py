"""What a reward model should rest at: under rankings, flipped labels, margins, missing ratings."""

from itertools import permutations

import torch
from jaxtyping import Float, Int
from torch import Tensor

Gap = Float[Tensor, " pair"]
Reward = Float[Tensor, " response"]
Orders = Int[Tensor, "order response"]


def orders(count: int) -> Orders:
    """Every order of so many responses, the best first."""
    return torch.tensor(list(permutations(range(count))))


def ranking_law(reward: Reward) -> Float[Tensor, " order"]:
    """P(order) when the best is chosen by softmax, then the best of the rest, and so on."""
    sorted_rewards = reward[orders(len(reward))]
    left = torch.stack([sorted_rewards[:, k:].logsumexp(1) for k in range(len(reward))], dim=1)
    return (sorted_rewards - left).sum(1).exp()


def ranks_before(law: Float[Tensor, " order"], count: int) -> Float[Tensor, "response response"]:
    """P(i ranks before j) under a law of rankings."""
    place = orders(count).argsort(dim=1)
    before = place[:, :, None] < place[:, None, :]
    return torch.einsum("o,oij->ij", law, before.to(law))


def flipped_gap(gap: Gap, rate: float) -> Gap:
    """Where Bradley–Terry rests when this share of its labels is flipped.

    log[(1−ε) eᵍ + ε] − log[ε eᵍ + 1−ε],    at most log((1−ε)/ε), which no gap gets past
    """
    p = (1 - rate) * torch.sigmoid(gap) + rate * torch.sigmoid(-gap)
    return torch.logit(p)


def margin_gap(p: Gap, margin: Gap) -> Gap:
    """Where Bradley–Terry with a margin rests: the root u = eᵍ of e^−m u² + (1−o) u − o e^−m.

    o = p/(1−p); the slope −p σ(m−g) + (1−p) σ(m+g) vanishes there. Without margin u = o.
    """
    odds, k = p / (1 - p), (-margin).exp()
    root = ((odds - 1) ** 2 + 4 * odds * k**2).sqrt()
    return torch.where(
        odds >= 1, (odds - 1 + root).log() - (2 * k).log(), (2 * odds * k / (1 - odds + root)).log()
    )


def mean_rating(
    target: Float[Tensor, "response objective"], weight: Float[Tensor, " response"]
) -> Float[Tensor, " objective"]:
    """The mean of what is known of each objective, responses counting by their weights."""
    told = (~target.isnan()).to(target) * weight[:, None]
    return (told * target.nan_to_num()).sum(0) / told.sum(0)
