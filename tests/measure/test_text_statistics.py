"""Statistics of texts, against counts by hand."""

import pytest

from prefloop.measure.text import (
    distinct_n,
    duplicate_share,
    empty_share,
    mean_words,
    repeated_n,
)


def test_distinct_2_by_hand():
    """the cat · cat sat · the cat · cat ran: three different of four."""
    assert distinct_n(["The cat sat", "the cat ran"], 2) == 3 / 4


def test_distinct_1_by_hand():
    assert distinct_n(["a b a", "c"], 1) == 3 / 4


def test_pairs_do_not_reach_across_texts():
    assert distinct_n(["a b", "a b"], 2) == 1 / 2


def test_repetition_within_a_text_is_seen_and_between_texts_is_not():
    assert repeated_n(["a b a b a b", "a b"], 2) == pytest.approx((3 / 5 + 0) / 2)


def test_duplicates_are_texts_already_said():
    assert duplicate_share(["good .", " good  .", "bad .", "good ."]) == 1 / 2


def test_length_and_emptiness_by_hand():
    assert mean_words(["one two three", ""]) == 1.5
    assert empty_share(["one", " \n"]) == 0.5


@pytest.mark.parametrize("statistic", [distinct_n, repeated_n, duplicate_share, mean_words])
def test_no_texts_have_no_statistic(statistic):
    assert statistic([]) is None


@pytest.mark.parametrize("statistic", [distinct_n, repeated_n])
def test_texts_too_short_for_an_n_gram_have_no_statistic(statistic):
    assert statistic(["word", ""], 2) is None
