"""Counting by coin flips: what n tosses say about n.

Every visit to a state tosses d coins ±1; the regression onto them is their mean z, and the mean of
z² over the coins estimates 1/n (Lobel et al. 2023, arXiv:2306.03186; COPO, arXiv:2501.12735).
"""

from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor


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
