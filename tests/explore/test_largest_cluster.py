"""Who is preferred when most say the same: RLP-SPG's rule, on published examples."""

from collections import Counter

import numpy as np
import pytest

from options import options
from prefloop.explore.largest_cluster import largest_cluster

REWARDS = [0.3, -0.1, 1.2, 0.9, 0.2, -0.7, 2.5, 0.0, 1.1, 0.4]


def picked(ids, seed=0, scores=(REWARDS,), **settings):
    asked = options(len(ids), clusters=ids, scores=scores)
    return largest_cluster(asked, np.random.default_rng(seed), **settings)


SIX_OF_TEN = [0, 0, 1, 0, 2, 0, 3, 0, 1, 0]
FOUR_OF_TEN = [0, 1, 2, 0, 3, 1, 0, 4, 5, 0]
FIVE_EACH = [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]


def test_the_best_of_the_largest_cluster_against_anyone_outside_it():
    found = [picked(SIX_OF_TEN, seed) for seed in range(400)]
    assert {winner for winner, _ in found} == {3}
    losers = Counter(loser for _, loser in found)
    assert set(losers) == {2, 4, 6, 8}
    assert all(abs(count - 100) < 4 * (400 * 3 / 16) ** 0.5 for count in losers.values())


def test_too_little_agreement_is_no_pair():
    assert picked(FOUR_OF_TEN) is None
    assert picked(FOUR_OF_TEN, confidence=0.4) is not None


def test_a_share_that_is_just_enough_is_enough():
    assert picked(FIVE_EACH) is not None
    assert picked(FIVE_EACH, confidence=0.51) is None


def test_of_two_largest_clusters_the_first_is_taken():
    winner, loser = picked(FIVE_EACH)
    assert winner == 6 and loser % 2 == 1
    winner, loser = picked([1 - i for i in FIVE_EACH])
    assert winner == 6 and loser % 2 == 1, "the first by place, not by number"


def test_where_all_agree_there_is_nothing_worse():
    assert picked([0] * 10) is None
    assert picked([0] * 10, confidence=0.0) is None


def test_without_a_threshold_every_prompt_is_kept():
    assert picked(range(10), confidence=0.0)[0] == 0, "ten clusters of one: the first"


def test_of_equal_rewards_the_first_is_best():
    assert picked(SIX_OF_TEN, scores=[[1.0] * 10])[0] == 0


def test_several_scorers_are_averaged():
    doubtful = [[0.0] * 10, [0.0] * 9 + [4.0]]
    assert picked(SIX_OF_TEN, scores=[REWARDS, *doubtful])[0] == 9


def test_a_share_is_a_share():
    for wrong in (-0.1, 50.0):
        with pytest.raises(ValueError, match=rf"must lie in \[0, 1\], got {wrong}"):
            picked(SIX_OF_TEN, confidence=wrong)
