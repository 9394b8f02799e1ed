"""A⁻¹ stays the inverse of A, however it was arrived at."""

import numpy as np
import pytest

from novelty.known import units
from prefloop.novelty._precision import BLOCK, REFRESH, Precision


def inverted(rows: np.ndarray, ridge: float) -> np.ndarray:
    return np.linalg.inv(ridge * np.eye(rows.shape[1]) + rows.T @ rows)


@pytest.mark.parametrize("count", [1, BLOCK + 1, REFRESH + 1])
def test_it_is_the_inverse_of_the_ridge_and_the_covariance(count):
    rows = units(count, 40)
    found = Precision(40, 0.1)
    found.add(rows)
    np.testing.assert_allclose(found.inverse, inverted(rows, 0.1), atol=1e-12)
    np.testing.assert_allclose(found.gram, rows.T @ rows, atol=1e-12)
    np.testing.assert_array_equal(found.inverse, found.inverse.T)


def test_ten_thousand_updates_of_one_row_do_not_drift():
    """Half of them along one direction, where A⁻¹ falls from 10 to 2·10⁻⁴."""
    rows = units(10_000, 24)
    rows[::2] = rows[0]
    found, longest = Precision(24, 0.1), 0.0
    for i in range(len(rows)):
        found.add(rows[i : i + 1])
        if i % 500 == 499:
            fresh = inverted(rows[: i + 1], 0.1)
            longest = max(longest, np.abs(found.inverse @ np.linalg.inv(fresh) - np.eye(24)).max())
    assert longest < 1e-9
    np.testing.assert_allclose(found.norm(rows[:2]), np.sqrt(norms(fresh, rows[:2])), rtol=1e-10)


def norms(inverse: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.array([row @ inverse @ row for row in rows])


def test_an_error_in_the_inverse_does_not_outlive_the_next_inversion():
    """Whatever rounding did to A⁻¹, it is made from Σ again, in which nothing was subtracted."""
    rows, found = units(2 * REFRESH, 24), Precision(24, 0.1)
    found.add(rows[:REFRESH])
    found.inverse *= 1.01
    found.add(rows[REFRESH : REFRESH + 1])
    np.testing.assert_allclose(found.inverse, inverted(rows[: REFRESH + 1], 0.1), rtol=1e-9)


def test_the_order_and_the_portions_of_rows_do_not_matter():
    rows = units(300, 16)
    whole, portions = Precision(16, 0.1), Precision(16, 0.1)
    whole.add(rows)
    for part in np.array_split(rows[::-1], 7):
        portions.add(part)
    np.testing.assert_allclose(portions.inverse, whole.inverse, atol=1e-12)


@pytest.mark.parametrize("width", [1, 2, 7, 100])
def test_stored_and_restored_it_goes_on_bit_for_bit(width):
    rows = units(1500, width)
    one = Precision(width, 0.1)
    one.add(rows[:900])
    other = Precision.restored(one.state_dict(), 0.1)
    for part in (rows[900:1000], rows[1000:]):  # the second one inverts afresh
        one.add(part)
        other.add(part)
    np.testing.assert_array_equal(one.inverse, other.inverse)
    np.testing.assert_array_equal(one.gram, other.gram)
