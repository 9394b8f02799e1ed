"""The ellipsoid's width is one over the root of the count, and the exact counts agree."""

import numpy as np
import pytest

from novelty.known import collected, slope, units
from prefloop.novelty._lift import BANDWIDTH, lifted
from prefloop.novelty._rows import checked
from prefloop.novelty.counts import Counts
from prefloop.novelty.elliptical import Elliptical

TIMES = (1, 4, 16, 64, 256)


@pytest.mark.parametrize("ridge", [0.1, 1.0])
def test_on_one_hot_features_it_is_the_exact_count(ridge):
    rows, part, exact = np.eye(12), Elliptical(ridge=ridge), Counts(ridge=ridge)
    visits = rows[np.random.default_rng(0).integers(10, size=200)]
    part.fit(visits)
    exact.fit(visits)
    expected = 1 / np.sqrt(visits.sum(0) + ridge)
    np.testing.assert_allclose(part.score(rows), expected, rtol=1e-9)
    np.testing.assert_allclose(exact.score(rows), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("ridge", "visits", "expected"),
    [
        (0.1, 0, 1 / np.sqrt(0.1)),
        (0.1, 1, 0.953462589),
        (0.1, 10, 0.314658388),
        (1.0, 1, 0.707106781),
        (1.0, 10, 0.301511345),
    ],
)
def test_known_values_on_one_hot_features(ridge, visits, expected):
    for part in (Elliptical(ridge=ridge), Counts(ridge=ridge)):
        part.fit(np.repeat(np.eye(3)[:1], visits, axis=0))
        assert part.score(np.eye(3)[:1]) == pytest.approx([expected], abs=1e-9)


def test_its_square_is_the_form_of_the_inverse_covariance():
    rows, asked = units(30, 8), 3 * units(5, 8, seed=1)
    part = Elliptical(ridge=0.3)
    part.fit(rows)
    inverse = np.linalg.inv(0.3 * np.eye(8) + rows.T @ rows)
    expected = [np.sqrt(q @ inverse @ q) for q in asked]
    np.testing.assert_allclose(part.score(asked), expected, rtol=1e-10)


def test_repeating_a_row_in_one_fit_or_in_many_is_the_same():
    rows, once, often = units(6, 4), Elliptical(), Elliptical()
    once.fit(np.repeat(rows, 50, axis=0))
    for _ in range(50):
        often.fit(rows)
    np.testing.assert_allclose(once.score(rows), often.score(rows), rtol=1e-9)


def test_the_lift_keeps_lengths_and_is_a_gaussian_of_the_distance():
    rows = units(40, 16)
    found = lifted(rows, 20_000, seed=0)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)
    squares = ((rows[:, None] - rows) ** 2).sum(-1)
    np.testing.assert_allclose(found @ found.T, np.exp(-squares / 2 / BANDWIDTH**2), atol=0.03)
    assert lifted(rows, 0, seed=0) is rows
    assert np.abs(found - lifted(rows, 20_000, seed=1)).max() > 1e-3


def test_the_lift_separates_what_a_linear_readout_mixes():
    """Eight times as many rows as dimensions, and twice as many dimensions as rows."""
    rows = units(240, 30)
    assert slope(collected(Elliptical(), rows, TIMES), TIMES) > -0.15
    assert slope(collected(Elliptical(lift=480), rows, TIMES), TIMES) == pytest.approx(
        -0.5, abs=0.05
    )


def test_a_lifted_state_is_restored_bit_for_bit():
    rows, one, other = units(60, 5), Elliptical(lift=64, seed=3), Elliptical(lift=64, seed=3)
    one.fit(rows[:40])
    other.load_state_dict(one.state_dict())
    for part in (one, other):
        part.fit(rows[40:])
    np.testing.assert_array_equal(one.score(rows), other.score(rows))


def test_rows_that_differ_by_less_than_padding_moves_them_are_one_row_to_the_exact_count():
    part, row = Counts(), units(1, 50)
    part.fit(row)
    part.fit(row + 1e-7 * units(1, 50, seed=1))
    assert part.score(row) == pytest.approx([1 / np.sqrt(2.1)])
    assert part.score(row + 0.1 * units(1, 50, seed=1)) == pytest.approx([1 / np.sqrt(0.1)])


def test_minus_zero_is_zero():
    part = Counts()
    part.fit(np.array([[0.0, 1.0]]))
    assert part.score(np.array([[-0.0, 1.0]])) == pytest.approx([1 / np.sqrt(1.1)])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Elliptical(ridge=0.0), "ridge must be positive, got 0"),
        (lambda: Counts(ridge=-1.0), "ridge must be positive, got -1"),
        (lambda: Elliptical(lift=3), "lift must be an even number .* or 0 for none, got 3"),
        (lambda: checked(np.ones(3), None), r"must be \[response, feature\], got shape \(3,\)"),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
