"""Claims about counting by coin flips, and what a count has to do with a confidence width."""

from math import sqrt

import torch

from prefloop.theory import comparisons, counts
from prefloop.theory.claim import claim, dice, farthest, normal


@claim("arXiv:2306.03186", tolerance=1e-12)
def coins_count_without_bias() -> float:
    """The squared mean of n fair coins has mean 1/n and variance 2/n² − 2/n³."""
    worst = 0.0
    for n in range(1, 11):
        squares = counts.every_toss(n)
        mean, variance = float(squares.mean()), float(squares.var(correction=0))
        off = (abs(mean - counts.coin_mean(n)), abs(variance - counts.coin_variance(n)))
        worst = max(worst, *off)
    return worst


@claim("arXiv:2306.03186", tolerance=1e-12)
def more_coins_vary_less() -> float:
    """Averaging over d coins divides the variance by d; d = 3, n = 4, all 4,096 outcomes."""
    squares = counts.every_toss(4)
    joint = torch.cartesian_prod(squares, squares, squares).mean(1)
    return abs(float(joint.var(correction=0)) - counts.coin_variance(4, coins=3))


@claim("arXiv:2306.03186, linear readout", tolerance=1e-12)
def ridge_coins_read_this_on_average() -> float:
    """E[B²] = qᵀA⁻¹(Σφφᵀ)A⁻¹q over all 2⁸ outcomes of the coins; one-hot N/(N + λ)²."""
    g = dice(78)
    phi, query = normal(g, 8, 3), normal(g, 3)
    squares = counts.every_ridge_reading(phi, query, 0.7) ** 2
    off = farthest(squares.mean(), counts.ridge_coin_square(phi, query, 0.7))
    for n, ridge in ((1, 0.1), (10, 0.1), (1, 1.0), (10, 1.0)):
        hot = torch.eye(2, dtype=torch.float64)[:1]
        found = counts.ridge_coin_square(hot.repeat(n, 1), hot[0], ridge)
        off = max(off, abs(float(found) - n / (n + ridge) ** 2))
    return off


@claim("derived for arXiv:2306.03186", tolerance=1e-12)
def ridge_coins_take_the_unseen_for_known() -> float:
    """Along a direction never visited ridge coins read 0; the elliptical norm reads 1/√λ there."""
    eye, ridge = torch.eye(3, dtype=torch.float64), 0.25
    visits = eye[:2].repeat(4, 1)
    coins = counts.ridge_coin_square(visits, eye[2], ridge)
    wide = comparisons.width(eye[2:], 0 * eye[0], comparisons.covariance(visits, ridge=ridge))
    return max(abs(float(coins)), abs(float(wide) - 1 / sqrt(ridge)))


@claim("arXiv:2501.12735, UCB term", tolerance=1e-12)
def a_confidence_width_is_a_count() -> float:
    """For one-hot features ‖φ‖ in (λI + Σφφᵀ)⁻¹ is 1/√(N + λ), COPO's bonus."""
    eye, ridge = torch.eye(4, dtype=torch.float64), 0.5
    visits = torch.tensor([0, 1, 5, 40])
    rows = eye.repeat_interleave(visits, 0)
    widths = comparisons.width(eye, 0 * eye[0], comparisons.covariance(rows, ridge=ridge))
    return farthest(widths, counts.bonus(visits.double(), ridge=ridge))
