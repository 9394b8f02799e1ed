"""Counting by coin flips: what n tosses say about n.

Every visit to a state tosses d coins ±1; the regression onto them is their mean z, and the mean of
z² over the coins estimates 1/n (Lobel et al. 2023, arXiv:2306.03186; COPO, arXiv:2501.12735).
"""

from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.theory.closed import tilt
from prefloop.theory.newton import Local, Point, Term


def coin_mean(visits: int) -> float:
    """E[z²] = 1/n: the mean square of the mean coin is unbiased for the inverse count."""
    return 1 / visits


def coin_variance(visits: int, coins: int = 1) -> float:
    """Var of the mean of z² over d coins: (2/n² − 2/n³) / d. Zero at the first visit."""
    return (2 / visits**2 - 2 / visits**3) / coins


def every_toss(visits: int) -> Float[Tensor, " outcome"]:
    """z² for each of the 2ⁿ outcomes of n tosses, equally likely."""
    tosses = torch.tensor(list(product((-1.0, 1.0), repeat=visits)), dtype=torch.float64)
    return tosses.mean(1) ** 2


def bonus(
    visits: Float[Tensor, "*prompt response"], *, ridge: float = 1.0
) -> Float[Tensor, "*prompt response"]:
    """1/√(N + ridge), COPO's reward for what was collected rarely."""
    return (visits + ridge).rsqrt()


def bonus_slope(
    policy: Float[Tensor, "*prompt response"], each: Float[Tensor, "*prompt response"]
) -> Float[Tensor, "*prompt response"]:
    """∂E_π[b]/∂logit_y = π(y) (b(y) − E_π b): up iff the bonus is above the policy's mean."""
    law = policy.exp()
    return law * (each - (law * each).sum(-1, keepdim=True))


def hoped(
    prior: Point, visits: Float[Tensor, "*prompt response"], *, beta: float, alpha: float
) -> Term:
    """−α E_π_r[1/√(N + 1)] as a term of a fit, what COPO adds: up to the ratio's clip its gradient.

    Not convex: where the bonus is above the mean it curves one way, below it the other.
    """
    each = bonus(visits)

    def term(reward: Point) -> Local:
        policy = tilt(prior, reward, beta)
        law, slope = policy.exp(), bonus_slope(policy, each)
        cross = law.unsqueeze(-1) * slope.unsqueeze(-2)
        curved = torch.diag_embed(slope) - cross - cross.mT
        worth = (law * each).sum(-1)
        return -alpha * worth, -alpha / beta * slope, -alpha / beta**2 * curved

    return term


def ridge_coin_square(
    features: Float[Tensor, "visit feature"], query: Float[Tensor, " feature"], ridge: float
) -> Float[Tensor, ""]:
    """E of the squared reading of a ridge regression of the visits' coins onto their features.

        E[B²] = qᵀ A⁻¹ (Σ φφᵀ) A⁻¹ q,   A = ridge · I + Σ φφᵀ

    For one-hot features N/(N + ridge)². What was never seen reads 0, as if seen for ever, where the
    elliptical norm √(qᵀ A⁻¹ q) reads 1/√ridge: ridge coins need a prior or that norm.
    """
    seen = features.T @ features
    matrix = seen + ridge * torch.eye(len(query), dtype=query.dtype)
    solved: Tensor = torch.linalg.solve(matrix, query)
    return solved @ seen @ solved


def every_ridge_reading(
    features: Float[Tensor, "visit feature"], query: Float[Tensor, " feature"], ridge: float
) -> Float[Tensor, " outcome"]:
    """What the regression reads at the query for each of the 2ⁿ outcomes of the visits' coins."""
    tosses = torch.tensor(list(product((-1.0, 1.0), repeat=len(features))), dtype=torch.float64)
    matrix = features.T @ features + ridge * torch.eye(len(query), dtype=query.dtype)
    solved: Tensor = torch.linalg.solve(matrix, query)
    return tosses @ features @ solved
