"""Correlations of length and reward: the guidebook's numbers, scipy's, worlds where they differ."""

import numpy as np
import pytest
from scipy import stats

from prefloop.measure.lengths import length_bias, partial, pearson, spearman

LENGTHS = [120, 340, 210, 400, 90, 260, 310, 180]
REWARDS = [0.9, 0.1, 0.6, -0.3, 0.8, 0.5, 0.2, 0.4]


def test_the_guidebooks_eight_responses():
    assert pearson(LENGTHS, REWARDS) == pytest.approx(-0.93924571, abs=5e-9)
    assert spearman(LENGTHS, REWARDS) == pytest.approx(-0.90476190, abs=5e-9)


def test_ties_share_their_rank_as_in_scipy():
    x, y = np.random.default_rng(0).integers(0, 4, size=(2, 60)).astype(float)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)


def test_what_does_not_vary_has_no_correlation():
    assert pearson([1, 1, 1], [1, 2, 3]) is None
    assert spearman([1], [2]) is None
    with pytest.raises(ValueError, match="two lists of as many numbers"):
        pearson([1, 2], [1])


def test_partial_correlation_is_that_of_what_regression_leaves():
    x, y, z = np.random.default_rng(0).normal(size=(3, 200))
    x, y = x + 2 * z, y - z + 0.3 * x
    basis = np.stack([np.ones(200), z], axis=1)
    left = [v - basis @ np.linalg.lstsq(basis, v, rcond=None)[0] for v in (x, y)]
    assert partial(x, y, z) == pytest.approx(pearson(*left))
    assert partial(x, y, np.ones(200)) == pytest.approx(pearson(x, y))
    assert partial(x, y, x) is None


def test_long_questions_may_have_good_answers_while_short_answers_are_better():
    """Between prompts length goes with reward, within each the other way round."""
    length = np.array([1, 2, 3, 11, 12, 13, 21, 22, 23], dtype=float)
    reward = np.array([3, 2, 1, 13, 12, 11, 23, 22, 21], dtype=float)
    found = length_bias(length, reward, np.repeat(range(3), 3))
    assert found.pearson is not None and found.pearson > 0.9
    assert found.pearson_within == pytest.approx(-1)
    assert found.spearman_within == pytest.approx(-1)
    assert found.by_prompt == pytest.approx([-1, -1, -1])


def test_prompts_that_have_no_correlation_are_dropped_and_counted():
    length = [1, 2, 3, 5, 5, 5, 7, 9, 1, 2, 3]
    reward = [1, 2, 3, 1, 2, 3, 1, 2, 0, 0, 0]
    found = length_bias(length, reward, [*"aaabbbccddd"])
    assert (found.few, found.undefined) == (1, 2)
    assert (found.by_prompt.tolist(), found.mean_length.tolist()) == ([pytest.approx(1)], [2.0])


def test_the_heat_map_has_every_prompt_in_the_place_of_its_correlation_and_length():
    length = [1, 2, 3, 17, 18, 19]
    found = length_bias(length, [1, 2, 3, 3, 2, 1], [*"aaabbb"])
    shown = found.heat_map(bins=(2, 2))
    assert shown is not None
    assert shown.counts.tolist() == [[0, 1], [1, 0]]
    assert (shown.correlations.tolist(), shown.lengths[-1]) == ([-1, 0, 1], 18)
    assert length_bias([1, 2], [1, 2], [*"ab"]).heat_map() is None
