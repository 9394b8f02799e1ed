"""Statistical rejection sampling against its law, by going through orders and passes."""

from collections import Counter
from functools import cache
from itertools import permutations
from math import exp

import numpy as np
import pytest

from prefloop import plugins
from prefloop.explore.rso import rso
from worlds import candidates

TEXTS = [" w", " x", " y", " z"]
SCORES = (0.3, 1.0, -0.2, 0.8)
DRAWS = 20_000


@cache
def law(beta: float) -> dict[tuple[int, int], float]:
    """P(better, worse of the first two accepted): over all orders, one coin after the other."""
    found: Counter[tuple[int, int]] = Counter()

    def one_pass(left: tuple[int, ...], taken: tuple[int, ...], p: float) -> None:
        top = max(SCORES[i] for i in left)

        def coin(place: int, kept: tuple[int, ...], taken: tuple[int, ...], p: float) -> None:
            if p == 0:
                return
            if len(taken) == 2:
                better, worse = sorted(taken, key=lambda i: -SCORES[i])
                found[better, worse] += p
            elif place == len(left):
                one_pass(kept, taken, p)
            else:
                chance = exp((SCORES[left[place]] - top) / beta)
                coin(place + 1, kept, (*taken, left[place]), p * chance)
                coin(place + 1, (*kept, left[place]), taken, p * (1 - chance))

        coin(0, (), taken, p)

    orders = list(permutations(range(4)))
    for order in orders:
        one_pass(order, (), 1 / len(orders))
    return dict(found)


@pytest.mark.parametrize("beta", [0.3, 0.5, 2.0])
def test_it_accepts_by_its_law(beta):
    rng, asked = np.random.default_rng(0), candidates(TEXTS, [list(SCORES)])
    drawn = Counter(rso(asked, rng, beta=beta) for _ in range(DRAWS))
    expected = law(beta)
    assert sum(expected.values()) == pytest.approx(1)
    for pair, p in expected.items():
        assert abs(drawn[pair] - DRAWS * p) < 4.5 * np.sqrt(DRAWS * p * (1 - p)) + 1, pair


def test_where_beta_is_large_any_two_are_asked_about():
    assert all(p == pytest.approx(1 / 6, abs=1e-3) for p in law(1e4).values())
    rng, asked = np.random.default_rng(1), candidates(TEXTS, [list(SCORES)])
    drawn = Counter(rso(asked, rng, beta=1e9) for _ in range(6000))
    assert len(drawn) == 6
    assert all(abs(count - 1000) < 5 * np.sqrt(1000) for count in drawn.values())


def test_where_beta_is_small_the_best_two_are_asked_about():
    asked = candidates(TEXTS, [list(SCORES)])
    for seed in range(50):
        assert rso(asked, np.random.default_rng(seed), beta=1e-6) == (1, 3)


def test_better_candidates_are_asked_about_more_often():
    counts = np.zeros(4)
    for pair, p in law(0.5).items():
        counts[list(pair)] += p
    assert (np.argsort(counts) == np.argsort(SCORES)).all()


def test_beta_must_be_positive():
    with pytest.raises(ValueError, match="beta must be positive, got 0"):
        rso(candidates(TEXTS, [list(SCORES)]), np.random.default_rng(0), beta=0.0)


def test_it_answers_to_its_long_name():
    assert plugins.resolve("explore", "statistical_rejection") == "rso"
