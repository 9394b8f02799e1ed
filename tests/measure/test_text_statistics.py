"""Statistics of texts, against counts by hand."""

from prefloop.measure.text import distinct_n


def test_distinct_2_by_hand():
    """the cat · cat sat · the cat · cat ran: three different of four."""
    assert distinct_n(["The cat sat", "the cat ran"], 2) == 3 / 4


def test_distinct_1_by_hand():
    assert distinct_n(["a b a", "c"], 1) == 3 / 4


def test_pairs_do_not_reach_across_texts():
    assert distinct_n(["a b", "a b"], 2) == 1 / 2


def test_texts_too_short_for_an_n_gram_have_no_statistic():
    assert distinct_n(["word", ""], 2) is None
    assert distinct_n([]) is None
