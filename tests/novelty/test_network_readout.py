"""The network readout: its prior's running normaliser, and what training leaves of the coins."""

import numpy as np
import pytest

from novelty.known import units
from prefloop.novelty._coins import tossed
from prefloop.novelty._network import NetworkReadout, Normaliser
from prefloop.novelty._rows import Kinds
from prefloop.novelty.coin_flip import CoinFlip


def test_the_normaliser_takes_one_visit_at_a_time():
    """The numbers of the published normaliser for four visits, from μ = 0, v = 0.002."""
    found, seen, standard = Normaliser.fresh(1), [], []
    for value in (0.5, -0.3, 0.8, 0.1):
        found.update(np.array([[value]]))
        seen.append((found.mean[0], found.variance[0]))
        standard.append(found.standard(np.array([[value]]))[0, 0])
    assert seen == [
        pytest.approx(pair, abs=1e-9)
        for pair in (
            (0.5, 0.0635),
            (0.1, 0.184555556),
            (0.333333333, 0.230291667),
            (0.275, 0.192944444),
        )
    ]
    assert standard == pytest.approx([0, -0.930848069, 0.972239805, -0.398299164], abs=1e-9)


def test_the_normaliser_tends_to_the_mean_and_the_variance_of_what_was_visited():
    values = np.random.default_rng(0).normal(3, 2, size=(4000, 5))
    found = Normaliser.fresh(5)
    found.update(values)
    np.testing.assert_allclose(found.mean, values.mean(0), atol=1e-9)
    np.testing.assert_allclose(found.variance, values.var(0), rtol=0.01)


def test_trained_it_gives_back_the_mean_coins_of_what_was_visited():
    rows, times = units(20, 30), (1, 2, 4, 8)
    visits = np.repeat(rows, np.repeat(times, 5), axis=0)
    coins, readout = (
        tossed(0, 0, 0, len(visits), 16),
        NetworkReadout(ridge=0.1, coins=16, seed=0),
    )
    readout.fit(Kinds.of(visits), coins)
    starts = np.cumsum([0, *np.repeat(times, 5)[:-1]])
    means = np.add.reduceat(coins, starts, axis=0) / np.repeat(times, 5)[:, None]
    np.testing.assert_allclose(readout.outputs(rows), means, atol=0.1)
    assert np.abs(means).mean() > 0.5


def test_the_unseen_keeps_its_prior_and_reads_above_the_seen_once():
    rows, part = np.eye(60), CoinFlip(readout="network", coins=32)
    part.fit(rows[:30])
    seen, unseen = part.score(rows[:30]), part.score(rows[30:])
    assert seen.mean() == pytest.approx(1, abs=0.05)
    assert unseen.min() > 1.5 * seen.max()
    assert unseen.mean() == pytest.approx(1 / np.sqrt(0.1), rel=0.25)


def test_when_it_is_fitted_changes_little():
    """It starts afresh on all coins so far: two fits end where one does."""
    rows = units(16, 40)
    once, twice = (CoinFlip(readout="network", coins=16) for _ in range(2))
    once.fit(rows)
    twice.fit(rows[:8])
    twice.fit(rows[8:])
    np.testing.assert_allclose(twice.score(rows), once.score(rows), rtol=0.05)


def test_it_is_the_same_every_time_and_another_for_another_seed():
    rows = units(10, 12)

    def read(seed: int) -> np.ndarray:
        part = CoinFlip(readout="network", coins=8, seed=seed)
        part.fit(rows[:6])
        return part.score(rows)

    np.testing.assert_array_equal(read(0), read(0))
    assert np.abs(read(0) - read(1))[6:].max() > 0.01
