"""On real features: repeated N times, a response reads 1/√N, and an unseen one reads higher.

LSA features of review sentences, and the testbed model's last hidden states on them, whitened.
"""

import numpy as np
import pytest

from novelty.known import TIMES, collected, sentences, slope, thoughts, topics, whitened
from prefloop.features.lsa import Lsa
from prefloop.novelty.coin_flip import CoinFlip
from prefloop.novelty.coin_flip_published import CoinFlipPublished
from prefloop.novelty.elliptical import Elliptical
from prefloop.types import Novelty

FEATURES = {"lsa": topics, "hidden": thoughts}
PARTS = {
    "elliptical": lambda: Elliptical(),
    "coin_flip": lambda: CoinFlip(),
    "network": lambda: CoinFlip(readout="network", coins=20),
}


def checked_counts(part: Novelty, rows: np.ndarray, distinct: int, near: float) -> None:
    """Mean readings on a log–log slope of −0.5 and near 1/√N; the unseen above the seen once."""
    readings = collected(part, rows[:distinct], TIMES)
    assert slope(readings, TIMES) == pytest.approx(-0.5, abs=0.05)
    scaled = readings.mean(1) * np.sqrt(TIMES)
    np.testing.assert_allclose(scaled, 1, atol=near)
    assert (np.diff(readings.mean(1)) < 0).all()
    unseen = part.score(rows[distinct : distinct + 200])
    assert unseen.mean() > 1.5 * readings[0].mean()
    assert np.quantile(unseen, 0.02) > np.quantile(readings[0], 0.98)


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("part", PARTS)
def test_half_as_many_responses_as_dimensions_keep_separate_counts(part, features):
    rows = FEATURES[features]()
    checked_counts(PARTS[part](), rows, rows.shape[1] // 2, near=0.12)


def test_a_whitener_that_saw_fewer_responses_than_dimensions_will_do():
    """150 texts for 192 dimensions: shrinkage keeps the directions that they lack in bounds."""
    rows = whitened(Lsa().features(sentences()[:600]), sample=150)
    readings = collected(Elliptical(), rows[-96:], TIMES)
    assert slope(readings, TIMES) == pytest.approx(-0.5, abs=0.05)


def test_eighteen_hundred_responses_need_the_lift():
    """192 dimensions cannot hold 1,800 means; 4,096 random Fourier features can."""
    rows = topics()
    crowded = collected(Elliptical(), rows[:1800], TIMES)
    assert -0.1 < slope(crowded, TIMES) < 0
    assert crowded[0].mean() < 0.1  # what was seen once reads as known
    checked_counts(Elliptical(lift=4096), rows, 1800, near=0.16)


def test_coins_on_lifted_hidden_states():
    """As full as 1,800 responses in 4,096 dimensions."""
    rows = thoughts()
    assert slope(collected(CoinFlip(), rows[:450], TIMES), TIMES) > -0.3
    checked_counts(CoinFlip(lift=1024), rows, 450, near=0.16)


@pytest.mark.parametrize("features", FEATURES)
def test_the_published_recipe_fails_all_of_this(features):
    rows, part = FEATURES[features](), CoinFlipPublished()
    readings = collected(part, rows[:54], TIMES)
    assert slope(readings, TIMES) > -0.1
    assert readings[0].mean() < 0.15
    unseen = part.score(rows[54:154])
    assert unseen.mean() == pytest.approx(readings[0].mean(), rel=0.1)


@pytest.mark.parametrize("part", PARTS)
def test_a_reading_is_the_same_bits_every_time(part):
    rows, counted = topics(), PARTS[part]()
    counted.fit(rows[:20])
    np.testing.assert_array_equal(counted.score(rows[:50]), counted.score(rows[:50]))
