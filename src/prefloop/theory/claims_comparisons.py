"""Claims about what comparisons determine: the Bradley–Terry fit."""

from itertools import product

import torch
from torch import Tensor

from prefloop.theory import comparisons
from prefloop.theory.claim import claim, dice, farthest, win_counts

BT = "Bradley and Terry 1952"


@claim(BT, tolerance=1e-9)
def at_the_fit_expected_wins_are_the_wins() -> float:
    """The likeliest reward expects every response to win as often as it did."""
    wins = win_counts(dice(30), 6)
    r = comparisons.bradley_terry(wins)
    expected = ((wins + wins.T) * torch.sigmoid(r[:, None] - r)).sum(1)
    return farthest(expected, wins.sum(1))


@claim("Hunter 2004, MM algorithm", tolerance=1e-9)
def newton_finds_what_minorise_maximise_finds() -> float:
    """Hunter's fixed-point iteration ends at the same reward."""
    wins = win_counts(dice(31), 5)
    strength = torch.ones(5, dtype=torch.float64)
    for _ in range(3000):
        pull = (wins + wins.T) / (strength[:, None] + strength)
        strength = wins.sum(1) / pull.sum(1)
        strength = strength / strength.log().mean().exp()
    return farthest(comparisons.bradley_terry(wins), strength.log())


@claim("Ford 1957", tolerance=0.0)
def a_fit_exists_iff_wins_link_everyone() -> float:
    """Of all 64 win graphs on three responses: finite fit ⇔ strongly connected (mismatches)."""
    wrong = 0
    for edges in product((0.0, 1.0), repeat=6):
        wins = torch.zeros(3, 3, dtype=torch.float64)
        wins[~torch.eye(3, dtype=torch.bool)] = torch.tensor(edges, dtype=torch.float64)
        wrong += comparisons.has_fit(wins) != _stays_put(wins)
    return float(wrong)


def _stays_put(wins: Tensor) -> bool:
    """Does the reward stop moving as the ridge vanishes, and is it unique?"""
    loose, looser = (comparisons.bradley_terry(wins, ridge=ridge) for ridge in (1e-4, 1e-8))
    linked = torch.linalg.eigvalsh(comparisons.curvature(wins + 1e-12, looser))[1] > 1e-6
    return bool(linked) and farthest(loose, looser) < 0.1
