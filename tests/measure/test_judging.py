"""Judges of pairs: two orders, three ways to make one verdict of them, and circles."""

from math import exp

import numpy as np
import pytest

from prefloop.measure.judging import (
    averaged,
    averaged_logits,
    circles,
    consistent,
    position_bias,
)
from prefloop.measure.sections import REWARDBENCH, rewardbench, section


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))


def test_the_guidebooks_pair_model():
    """Logits A 2.0, B 1.1 and, swapped, A 0.3, B 1.0, where B is the same response."""
    there, back = sigmoid(2.0 - 1.1), sigmoid(0.3 - 1.0)
    assert (there, 1 - back) == pytest.approx((0.71094950, 0.66818777), abs=5e-9)
    assert averaged(there, back) == pytest.approx(0.68956864, abs=5e-9)


def test_a_bias_of_the_logit_shrinks_a_mean_of_probabilities_and_leaves_a_mean_of_logits():
    """s = .8, b = .5 of §6.6."""
    there, back = sigmoid(0.8 + 0.5), sigmoid(-0.8 + 0.5)
    assert (there, 1 - back) == pytest.approx((0.78583498, 0.57444252), abs=5e-9)
    assert averaged(there, back) == pytest.approx(0.68013875, abs=5e-9)
    assert averaged_logits(there, back) == pytest.approx(0.68997448, abs=5e-9)
    assert averaged_logits(there, back) == pytest.approx(sigmoid(0.8))


def test_verdicts_that_depend_on_the_order_are_a_tie():
    there, back = sigmoid(0.7), sigmoid(0.3)  # §14.5: .66818777 and 1 − .42555748
    assert averaged(there, back) == pytest.approx(0.54687263, abs=5e-9)
    assert consistent(there, back) == 0.5
    assert (consistent(0.9, 0.2), consistent(0.1, 0.8)) == (1.0, 0.0)


def test_position_bias_is_what_both_orders_have_too_much():
    assert position_bias([0.7, 0.2], [0.3, 0.8]) == pytest.approx(0)
    assert position_bias([0.9, 0.5], [0.3, 0.3]) == pytest.approx((0.2 + 0.2) / 2)
    with pytest.raises(ValueError, match="asked both ways round"):
        position_bias([0.5], [])


def preferences(**said: float) -> np.ndarray:
    """P(i ≻ j) of the named pairs, such as ab=1, and its opposite."""
    found = np.full((4, 4), np.nan)
    for (i, j), p in said.items():
        found["abcd".index(i), "abcd".index(j)] = p
        found["abcd".index(j), "abcd".index(i)] = 1 - p
    return found


def test_a_circle_is_no_ranking():
    assert circles(preferences(ab=1, bc=0.8, ca=0.6)) == (1, 1)
    assert circles(preferences(ba=1, cb=0.8, ac=0.6)) == (1, 1)
    assert circles(preferences(ab=1, bc=0.8, ac=0.6)).rate == 0


def test_ties_and_unknown_pairs_make_no_triple():
    assert circles(preferences(ab=1, bc=0.5, ca=1)) == (0, 0)
    assert circles(preferences(ab=1, bc=1)).rate is None


def test_scores_never_go_round_in_circles_and_coins_do_a_quarter_of_the_time():
    draw = np.random.default_rng(0)
    scores = draw.normal(size=7)
    assert circles(1 / (1 + np.exp(scores[None] - scores[:, None]))) == (0, 35)
    coins = [np.triu(draw.uniform(size=(9, 9)), 1) for _ in range(60)]
    found = [circles(c + np.tril(1 - c.T, -1)) for c in coins]
    assert sum(f.violations for f in found) / sum(f.triples for f in found) == pytest.approx(
        0.25, abs=0.02
    )


def test_rewardbenchs_sections_are_weighted_by_counts():
    chat = dict(zip(REWARDBENCH["Chat"], (0.98, 0.9, 0.95, 1.0, 0.925), strict=True))
    assert section(chat, REWARDBENCH["Chat"]) == pytest.approx(0.94622905, abs=5e-9)
    assert rewardbench(chat) == {"Chat": pytest.approx(0.94622905, abs=5e-9)}


def test_the_sections_are_as_large_as_published_and_the_score_is_their_plain_mean():
    sizes = {name: sum(counts.values()) for name, counts in REWARDBENCH.items()}
    assert sizes == {"Chat": 358, "Chat Hard": 456, "Safety": 740, "Reasoning": 984 + 6 * 164}
    whole = {subset: 1.0 for counts in REWARDBENCH.values() for subset in counts}
    assert rewardbench(whole)["score"] == 1.0
    found = rewardbench({**whole, "math-prm": 0.0})
    assert (found["Reasoning"], found["score"]) == (0.5, 0.875)
