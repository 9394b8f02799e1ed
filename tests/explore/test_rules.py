"""Which two each rule picks."""

from collections import Counter

import numpy as np
import pytest

from prefloop.explore.best_random import best_random
from prefloop.explore.best_worst import best_worst
from prefloop.explore.on_policy import on_policy
from prefloop.explore.policy_vs_reference import policy_vs_reference
from worlds import candidates

TEXTS = [" w", " x", " y", " z"]


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_on_policy_asks_about_the_first_two():
    assert on_policy(candidates(TEXTS), rng()) == (0, 1)


def test_best_worst_ranks_by_the_mean_over_the_ensemble():
    scores = [[0.0, 3.0, 1.0, 0.5], [0.0, 1.0, -2.0, 0.5]]
    assert best_worst(candidates(TEXTS, scores), rng()) == (1, 2)


def test_of_equal_scores_the_earliest_is_best_and_the_latest_worst():
    assert best_worst(candidates(TEXTS, [[1.0, 0.0, 1.0, 0.0]]), rng()) == (0, 3)
    assert best_worst(candidates(TEXTS, [[2.0, 2.0, 2.0, 2.0]]), rng()) == (0, 3)


def test_best_random_draws_each_other_candidate_equally_often():
    source, rule = rng(), candidates(TEXTS, [[0.0, 3.0, 1.0, 2.0]])
    drawn = Counter(best_random(rule, source) for _ in range(3000))
    assert set(drawn) == {(1, 0), (1, 2), (1, 3)}
    assert all(abs(count - 1000) < 4 * np.sqrt(3000 * 2 / 9) for count in drawn.values())


def test_best_random_passes_over_repetitions_of_the_best():
    repeated = candidates([" x", " x", " x", " y"], [[1.0, 1.0, 1.0, 0.0]])
    source = rng()
    assert {best_random(repeated, source) for _ in range(50)} == {(0, 3)}


def test_policy_vs_reference_takes_the_first_of_each():
    assert policy_vs_reference(candidates(TEXTS, sources="drpr"), rng()) == (2, 1)


def test_policy_vs_reference_says_which_source_is_missing():
    with pytest.raises(ValueError, match=r"candidate from the reference, got policy, policy; set"):
        policy_vs_reference(candidates([" x", " y"], sources="pp"), rng())
