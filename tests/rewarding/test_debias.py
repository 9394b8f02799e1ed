"""What is taken off an attribute so that it does not go with verbosity."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from prefloop.rewarding.debias import MOST, correlation, penalties, penalty

FOUR = np.array([[0.0, 0], [1 / 3, 0], [1, 0], [2, 1]])
"""whatever λ, the wordy one ranks 2nd or 3rd of 4: half a rank off, of √(5 · 3/4): ±.258"""


def world(count: int = 400, seed: int = 0):
    """(quality, verbosity), independent and normal."""
    draw = np.random.default_rng(seed)
    return draw.normal(size=count), draw.normal(size=count)


@pytest.mark.parametrize("rounded", [1, 8])
def test_the_correlation_never_rises_with_the_penalty(rounded):
    """Which is what makes bisection exact; ties in either do not change it."""
    q, v = (x.round(rounded) for x in world(60))
    found = [correlation(q + v, v, x) for x in np.linspace(-3, 5, 400)]
    assert (np.diff(found) <= 1e-12).all() and found[0] > 0.9 and found[-1] < -0.9


@pytest.mark.parametrize("slope", [0.0, 0.4, -0.7, 30.0, -1e-4])
@pytest.mark.parametrize("seed", range(3))
def test_little_is_left_whatever_the_units_and_the_sign(slope, seed):
    q, v = world(seed=seed)
    unit = max(abs(slope), 1e-3)
    r = unit * q + slope * v
    (found, own) = penalties(np.stack([r, v], 1), 1)
    assert abs(spearmanr(r - found * v, v).statistic) <= MOST and own == 1


def test_a_linear_bias_is_found_at_the_rate_of_an_estimate():
    """λ → c for r = q + c v with q independent of v: four times the responses, half the error."""
    errors = [
        np.mean([abs(penalty(q + 2 * v, v) - 2) for q, v in (world(n, s) for s in range(12))])
        for n in (400, 6400)
    ]
    assert np.log(errors[0] / errors[1]) / np.log(16) == pytest.approx(0.5, abs=0.2)


def test_nothing_is_left_of_verbosity_and_of_what_says_the_same():
    _, v = world()
    found = penalties(np.stack([3 * v, v], 1), 1)
    np.testing.assert_allclose(found, [3, 1])
    assert correlation(3 * v, v, found[0]) == 0


@pytest.mark.parametrize(
    ("attributes", "verbosity", "said"),
    [
        (np.eye(4), 4, "verbosity must be an attribute's index, 0 to 3, got 4; count from 0"),
        (np.eye(4), -1, "0 to 3, got -1"),
        (np.ones((4, 2)), 1, "attribute 1 says 1 of all 4 responses, so none is more verbose"),
        (FOUR, 1, "attribute 0 cannot be told apart from verbosity: their rank corr.* is 0.26 at"),
    ],
)
def test_what_cannot_be_is_refused(attributes, verbosity, said):
    with pytest.raises(ValueError, match=said):
        penalties(attributes, verbosity)
