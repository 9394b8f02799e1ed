"""Intervals hold at their nominal rate, and length control finds an effect that was planted."""

import numpy as np
import pytest

from prefloop.measure.intervals import (
    length_controlled_win_rate,
    mean_interval,
    t_quantile,
    win_rate,
    wins,
)


def coverage(truth, intervals):
    return np.mean([low <= truth <= high for _, low, high in intervals])


@pytest.mark.parametrize("n", [3, 8, 50])
def test_the_mean_interval_covers_the_mean_at_the_nominal_rate(n):
    draws = np.random.default_rng(0).normal(2.0, 3.0, size=(4000, n))
    assert coverage(2.0, map(mean_interval, draws)) == pytest.approx(0.95, abs=0.012)


@pytest.mark.parametrize("rate", [0.5, 0.8, 0.97])
def test_the_win_rate_interval_covers_the_rate_at_the_nominal_rate(rate):
    draws = np.random.default_rng(1).random(size=(2000, 200)) < rate
    found = coverage(rate, (win_rate(won, np.full(200, 0.5)) for won in draws))
    assert 0.935 <= found <= 0.98


def test_ties_make_the_win_rate_interval_wide_never_narrow():
    outcomes = np.random.default_rng(2).choice(
        [-1.0, 0.0, 1.0], p=[0.2, 0.4, 0.4], size=(2000, 100)
    )
    assert coverage(0.6, (win_rate(scores, np.zeros(100)) for scores in outcomes)) >= 0.95


def test_a_win_counts_one_a_tie_one_half():
    assert wins([2.0, 1.0, 0.0], [1.0, 1.0, 1.0]).tolist() == [1.0, 0.5, 0.0]
    assert win_rate([2.0, 1.0, 0.0, 5.0], [1.0, 1.0, 1.0, 1.0]).value == 0.625


def test_the_win_rate_interval_is_wilsons():
    """8 wins of 10: Wilson 1927 gives (.490, .943)."""
    _, low, high = win_rate([1.0] * 8 + [0.0] * 2, [0.5] * 10)
    assert (low, high) == pytest.approx((0.4902, 0.9433), abs=1e-4)


def test_a_rate_of_one_has_an_interval_that_stays_inside_one():
    found = win_rate([1.0] * 20, [0.0] * 20)
    assert found.value == found.high == 1.0
    assert 0.8 < found.low < 0.9


def test_naming_the_sides_the_other_way_round_mirrors_the_win_rate():
    x, y = np.random.default_rng(3).integers(0, 4, size=(2, 60)).astype(float)
    one, other = win_rate(x, y), win_rate(y, x)
    assert one == pytest.approx((1 - other.value, 1 - other.high, 1 - other.low))


def test_one_value_has_an_interval_without_limits():
    assert mean_interval([3.0]) == (3.0, -np.inf, np.inf)


@pytest.mark.parametrize("freedom", [1, 2, 3, 5, 10, 200])
def test_the_t_quantile_agrees_with_scipy(freedom):
    stats = pytest.importorskip("scipy.stats", reason="scipy comes with the eval extra")
    expected = stats.t.ppf(0.975, freedom)
    assert t_quantile(0.975, freedom) == pytest.approx(expected, rel=2e-3)


def planted(quality, taste_for_length, longer_by, n=20_000):
    """Wins drawn from the very model that length control fits."""
    rng = np.random.default_rng(4)
    delta = rng.normal(longer_by, 30.0, n)
    logit = quality + taste_for_length * np.tanh(delta / delta.std())
    return (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(float), delta


@pytest.mark.parametrize("quality", [-0.4, 0.0, 0.7])
def test_length_control_recovers_the_planted_quality(quality):
    won, delta = planted(quality, taste_for_length=1.5, longer_by=25.0)
    truth = 1 / (1 + np.exp(-quality))
    assert won.mean() - truth > 0.1, "length must bias the raw rate for the test to say anything"
    assert length_controlled_win_rate(won, delta) == pytest.approx(truth, abs=0.015)


def test_length_control_changes_nothing_where_length_does_not_matter():
    won, delta = planted(0.7, taste_for_length=0.0, longer_by=25.0)
    assert length_controlled_win_rate(won, delta) == pytest.approx(won.mean(), abs=0.01)


def test_length_control_mirrors_when_the_sides_are_swapped():
    won, delta = planted(0.7, taste_for_length=1.0, longer_by=10.0, n=300)
    swapped = length_controlled_win_rate(1 - won, -delta)
    assert length_controlled_win_rate(won, delta) == pytest.approx(1 - swapped)


def test_length_control_stays_finite_where_length_decides_everything():
    delta = np.array([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0])
    assert length_controlled_win_rate(delta > 0, delta) == pytest.approx(0.5, abs=1e-6)


def test_length_control_has_no_answer_where_every_response_is_longer_by_the_same():
    assert length_controlled_win_rate([1.0, 0.0, 1.0], [5.0, 5.0, 5.0]) is None


def test_length_control_is_the_raw_rate_where_lengths_are_equal():
    assert length_controlled_win_rate([1.0, 0.0, 1.0, 1.0], [0.0] * 4) == 0.75


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_interval([]), "non-empty"),
        (lambda: mean_interval([1.0, np.nan]), "leave missing ones out"),
        (lambda: win_rate([1.0], [1.0, 2.0]), "pair up by prompt, got 1 and 2"),
        (lambda: length_controlled_win_rate([1.0], [1.0, 2.0]), "got 2 for 1"),
    ],
)
def test_numbers_that_cannot_be_used_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
