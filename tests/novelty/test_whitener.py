"""Rows are comparable: centred, as long in every direction, and of length one."""

import numpy as np
import pytest

from prefloop.novelty._white import Whitener


def lopsided(count: int, width: int = 6, seed: int = 0) -> np.ndarray:
    """Features with a large common part and very different spreads, as hidden states have."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(width, width)) * np.geomspace(1, 1e-3, width)
    return 50 + rng.normal(size=(count, width)) @ mixing.T


def fitted(sample: np.ndarray, **options: float) -> Whitener:
    whitener = Whitener(**options)
    whitener.fit(sample)
    return whitener


def test_rows_have_length_one_and_no_common_direction():
    rows = fitted(lopsided(4000)).rows(lopsided(4000, seed=0))
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1)
    assert np.abs(rows.mean(0)).max() < 0.03


def test_with_hardly_any_shrinkage_every_direction_is_as_long():
    sample = lopsided(4000)
    rows = fitted(sample, shrinkage=1e-9).rows(sample)
    np.testing.assert_allclose(np.cov(rows.T), np.eye(6) / 6, atol=0.01)


def test_the_map_is_the_inverse_root_of_the_shrunk_covariance():
    sample = lopsided(500)
    covariance = np.cov(sample.T)
    shrunk = 0.7 * covariance + 0.3 * np.trace(covariance) / 6 * np.eye(6)
    rows = fitted(sample, shrinkage=0.3).rows(sample[:20])
    away = sample[:20] - sample.mean(0)
    expected = away @ np.linalg.inv(shrunk) @ away.T
    lengths = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(rows @ rows.T, expected / np.outer(lengths, lengths), atol=1e-9)


def test_units_of_the_features_do_not_matter():
    sample = lopsided(300)
    there, here = fitted(sample).rows(sample), fitted(1e4 * sample - 7).rows(1e4 * sample - 7)
    np.testing.assert_allclose(there @ there.T, here @ here.T, atol=1e-6)


def test_a_direction_the_sample_did_not_have_is_stretched_by_at_most_the_root_of_the_shrinkage():
    """Ten rows in a hundred dimensions: without shrinkage, noise would be all there is."""
    rng = np.random.default_rng(0)
    sample = np.zeros((10, 100))
    sample[:, :5] = rng.normal(size=(10, 5))
    new = np.zeros((1, 100))
    new[0, :5], new[0, 50] = 1, 1e-3
    row = fitted(sample, shrinkage=0.1).rows(new)[0]
    assert np.linalg.norm(row[np.abs(row) > 1e-2]) > 0.99
    assert np.isfinite(row).all()


def test_it_is_fitted_once():
    whitener = fitted(lopsided(50))
    assert whitener.is_fitted
    with pytest.raises(ValueError, match=r"fitted once.*for another space use a new one"):
        whitener.fit(lopsided(50))


def test_stored_and_restored_it_gives_the_same_rows():
    whitener, other = fitted(lopsided(50)), Whitener()
    assert Whitener().state_dict() == {}
    other.load_state_dict(whitener.state_dict())
    np.testing.assert_array_equal(other.rows(lopsided(5)), whitener.rows(lopsided(5)))
    other.load_state_dict({})
    assert not other.is_fitted
    other.fit(lopsided(50, width=3))


def test_a_row_at_the_centre_has_a_length_too():
    sample = np.array([[1.0, 2.0], [-1.0, -2.0], [0.5, -0.5], [-0.5, 0.5]])
    np.testing.assert_array_equal(fitted(sample).rows(np.zeros((1, 2))), [[1.0, 0.0]])


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (np.ones((1, 3)), "at least 2 responses, got 1; draw more"),
        (np.ones((4, 3)), "features that vary, got 4 equal ones; give it different"),
        (np.array([[0.0, 1.0], [np.nan, 1.0]]), "must be finite, got nan in row 1; the model"),
        (np.array([[0.0, np.inf], [1.0, 1.0]]), "must be finite, got inf in row 0"),
    ],
)
def test_a_sample_that_says_nothing_is_refused(sample, message):
    with pytest.raises(ValueError, match=message):
        Whitener().fit(sample)


def test_what_it_cannot_map_is_refused():
    whitener = fitted(lopsided(50))
    with pytest.raises(ValueError, match=r"keep their dimension of 6, got 5; .*load_state_dict"):
        whitener.rows(np.ones((2, 5)))
    with pytest.raises(ValueError, match="must be finite, got nan in row 0"):
        whitener.rows(np.full((1, 6), np.nan))
    with pytest.raises(ValueError, match="no sample yet; call fit first"):
        Whitener().rows(np.ones((2, 5)))
    with pytest.raises(ValueError, match=r"shrinkage must lie in \(0, 1\], got 0"):
        Whitener(shrinkage=0.0)
