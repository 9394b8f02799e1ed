"""Coins count: their exact moments, the prior that makes the unseen new, whose coin is whose."""

import numpy as np
import pytest
import torch

from novelty.known import units
from prefloop.novelty._coins import BLOCK, tossed
from prefloop.novelty._readout import RidgeReadout
from prefloop.novelty._rows import Kinds
from prefloop.novelty.coin_flip import CoinFlip
from prefloop.novelty.elliptical import Elliptical
from prefloop.theory.counts import coin_variance, every_toss

ONE = np.eye(3)
COLUMN = {  # N → √N·E[B], sd[B] of the mean of N coins, d = 20 (spec of the coin-flip network)
    1: (1.0, 0.0),
    2: (0.993422, 0.080973),
    3: (0.991423, 0.075454),
    4: (0.990443, 0.068960),
    5: (0.989862, 0.063518),
    8: (0.988999, 0.052298),
    10: (0.988714, 0.047376),
    16: (0.988288, 0.038151),
    100: (0.987695, 0.015639),
}


def outputs(rows: np.ndarray, coins: np.ndarray, asked: np.ndarray, ridge: float) -> np.ndarray:
    """The closed form's values at `asked` after visits to `rows` with these coins."""
    readout = RidgeReadout(ridge=ridge, coins=coins.shape[1], seed=0)
    readout.fit(Kinds.of(rows), coins)
    return readout.outputs(asked)


def parts(
    rows: np.ndarray, coins: np.ndarray, asked: np.ndarray, ridge: float
) -> tuple[np.ndarray, np.ndarray]:
    """What of the outputs is due to the coins, and what to the prior: they are linear in either."""
    there, back = (outputs(rows, sign * coins, asked, ridge) for sign in (1, -1))
    return (there - back) / 2, (there + back) / 2


def every_pattern(visits: int) -> np.ndarray:
    """±1 for each visit, in each of the 2ⁿ equally likely ways: a mean over them is E."""
    return 2.0 * (np.arange(2**visits) >> np.arange(visits)[:, None] & 1) - 1


def explicit_coins(visits: int) -> np.ndarray:
    """Coins by integer hashing, the same everywhere: [visit, 20]."""
    k, j = np.meshgrid(np.arange(1, visits + 1), np.arange(20), indexing="ij")
    h = (k * 0x9E3779B1 + j * 0x85EBCA77 + 0xC2B2AE3D) & 0xFFFFFFFF
    h ^= h >> 15
    h = (h * 0x2C1B3C6D) & 0xFFFFFFFF
    h ^= h >> 12
    h = (h * 0x297A2D39) & 0xFFFFFFFF
    h ^= h >> 15
    return np.where(h % 2 == 1, 1.0, -1.0)


@pytest.mark.parametrize(
    ("visits", "expected"),
    [
        (1, 1.0),
        (2, 0.707106781),
        (3, 0.614636297),
        (4, 0.536190265),
        (8, 0.379143772),
        (16, 0.266634113),
    ],
)
def test_the_mean_of_explicit_coins(visits, expected):
    data, _ = parts(ONE[[0] * visits], explicit_coins(visits), ONE[:1], ridge=1.0)
    bonus = np.sqrt((data**2).mean()) * (visits + 1) / visits  # undo the ridge
    assert bonus == pytest.approx(expected, abs=1e-9)


def test_the_mean_of_coins_by_hand():
    coins = np.array([[1, 1, -1, 1], [-1, 1, -1, -1], [1, 1, 1, -1]], dtype=float)
    data, _ = parts(ONE[[0, 0, 0]], coins, ONE[:1], ridge=1.0)
    np.testing.assert_allclose(data * 4 / 3, [[1 / 3, 1, -1 / 3, -1 / 3]])
    assert np.sqrt((data**2).mean()) * 4 / 3 == pytest.approx(0.577350269)


@pytest.mark.parametrize(
    ("ridge", "visits", "expected"),
    [(0.1, 1, 0.826446281), (0.1, 10, 0.098029605), (1.0, 1, 0.25), (1.0, 10, 0.082644628)],
)
def test_without_a_prior_the_expected_square_is_n_over_n_plus_ridge_squared(
    ridge, visits, expected
):
    data, _ = parts(ONE[[0] * visits], every_pattern(visits), ONE, ridge)
    assert (data[0] ** 2).mean() == pytest.approx(expected, abs=1e-9)
    np.testing.assert_allclose(data[1:], 0, atol=1e-12)  # the unseen: as if seen for ever


def test_the_coins_part_is_the_covariance_between_two_inverses():
    rows, asked, ridge = units(9, 4), units(6, 4, seed=1), 0.3
    rows[5:] = rows[:4]
    data, _ = parts(rows, every_pattern(9), asked, ridge)
    gram = rows.T @ rows
    inverse = np.linalg.inv(ridge * np.eye(4) + gram)
    expected = [q @ inverse @ gram @ inverse @ q for q in asked]
    np.testing.assert_allclose((data**2).mean(1), expected, rtol=1e-9)


def test_the_prior_part_is_the_prior_shrunk_by_ridge_times_the_inverse():
    rows, asked, ridge = units(9, 4), units(6, 4, seed=1), 0.3
    _, prior = parts(rows, every_pattern(9), asked, ridge)
    theta = RidgeReadout(ridge=ridge, coins=2**9, seed=0).outputs(np.eye(4))
    inverse = np.linalg.inv(ridge * np.eye(4) + rows.T @ rows)
    np.testing.assert_allclose(prior, ridge * asked @ inverse @ theta, atol=1e-9)
    np.testing.assert_allclose(np.cov(theta), np.eye(4) / ridge, atol=0.5)


def test_coins_and_prior_together_expect_the_elliptical_square():
    """E over the coins exactly; over θ⁰ ~ N(0, I/ridge) the prior part has ridge·qᵀA⁻²q."""
    rows, asked, ridge = units(9, 4), units(6, 4, seed=1), 0.3
    data, _ = parts(rows, every_pattern(9), asked, ridge)
    inverse = np.linalg.inv(ridge * np.eye(4) + rows.T @ rows)
    prior = [ridge * q @ inverse @ inverse @ q for q in asked]
    exact = Elliptical(ridge=ridge)
    exact.fit(rows)
    np.testing.assert_allclose((data**2).mean(1) + prior, exact.score(asked) ** 2, rtol=1e-9)


def test_with_many_coins_it_reads_what_elliptical_reads():
    rows, asked = units(400, 30)[np.random.default_rng(0).integers(60, size=400)], units(80, 30)
    part, exact = CoinFlip(coins=40_000), Elliptical()
    part.fit(rows)
    exact.fit(rows)
    np.testing.assert_allclose(part.score(asked), exact.score(asked), rtol=0.02)


def test_the_default_number_of_coins_makes_single_readings_usable():
    """One reading is off by 1/√(2·coins), 6 %: nineteen in twenty within 13 % of the truth."""
    rows = np.eye(200)
    part, exact = CoinFlip(), Elliptical()
    for _ in range(10):
        part.fit(rows)
        exact.fit(rows)
    error = part.score(rows) / exact.score(rows) - 1
    assert error.std() == pytest.approx(1 / np.sqrt(2 * 128), rel=0.2)
    assert (np.abs(error) < 0.13).mean() > 0.95


@pytest.mark.parametrize("visits", COLUMN)
def test_readings_have_the_exact_moments_of_a_count_in_a_table(visits):
    rows, part = np.eye(200), CoinFlip(coins=20, ridge=1e-8)
    part.fit(np.tile(rows, (visits, 1)))
    bonus = part.score(rows)
    mean, spread = COLUMN[visits]
    assert np.sqrt(visits) * bonus.mean() == pytest.approx(mean, abs=0.03)
    assert bonus.std() == pytest.approx(spread, rel=0.15, abs=1e-4)
    assert (bonus**2).var() == pytest.approx(coin_variance(visits, 20), rel=0.4, abs=1e-6)


def test_tosses_are_fair_whichever_way_they_fall():
    """The coins' squares average to what every toss together gives: 1/n."""
    for visits in (2, 5):
        means = tossed(0, 0, 0, visits, 4096).mean(0) ** 2
        assert means.mean() == pytest.approx(float(every_toss(visits).mean()), rel=0.05)
    assert every_toss(5).dtype == torch.float64


def test_a_visits_coins_depend_on_its_number_alone():
    whole = tossed(0, 0, 0, 2 * BLOCK + 7, 5)
    for first, visits in ((0, 3), (BLOCK - 2, 4), (BLOCK, 1), (7, 2 * BLOCK), (4, 0)):
        found = tossed(0, 0, first, visits, 5)
        np.testing.assert_array_equal(found, whole[first : first + visits])
    assert set(np.unique(whole)) == {-1.0, 1.0}


def test_no_two_visits_ranks_or_seeds_share_their_coins():
    """Shared coins make two visits count as one: a factor of √2 in what is read."""
    tosses = [tossed(seed, rank, 0, 1500, 64) for seed in (0, 1) for rank in (0, 1, 2)]
    table = np.concatenate(tosses)
    assert len(np.unique(table, axis=0)) == len(table)
    alike = [(a == b).mean() for i, a in enumerate(tosses) for b in tosses[:i]]
    np.testing.assert_allclose(alike, 0.5, atol=0.01)


def test_what_two_processes_counted_adds_up_as_if_one_had():
    """Sums of coins add over ranks: with coins of their own, 2 × 8 visits read as 16, not as 8."""
    times = 8
    own, same = (
        sum(tossed(0, rank, 0, times * 300, 20).reshape(times, 300, 20).sum(0) for rank in ranks)
        / (2 * times)
        for ranks in ((0, 1), (0, 0))
    )
    assert np.sqrt((own**2).mean()) == pytest.approx(1 / 4, rel=0.05)
    assert np.sqrt((same**2).mean()) == pytest.approx(1 / np.sqrt(8), rel=0.05)


def test_coins_are_not_redrawn_when_more_is_counted():
    """Redrawn, a reading would fall with every fit; stored, fitting nothing new changes nothing."""
    rows, part = np.eye(4), CoinFlip()
    part.fit(rows)
    before = part.score(rows)
    for _ in range(20):
        part.fit(rows[:0])
    np.testing.assert_array_equal(part.score(rows), before)


def test_the_unseen_reads_above_the_seen_once_and_like_the_ridge_alone():
    rows, part = np.eye(40), CoinFlip(ridge=0.1)
    part.fit(rows[:20])
    seen, unseen = part.score(rows[:20]), part.score(rows[20:])
    assert unseen.min() > 2 * seen.max()
    assert unseen.mean() == pytest.approx(1 / np.sqrt(0.1), rel=0.05)
    assert seen.mean() == pytest.approx(1 / np.sqrt(1.1), rel=0.05)


@pytest.mark.parametrize("options", [{}, {"lift": 32}, {"readout": "network", "coins": 8}])
def test_a_state_is_restored_bit_for_bit_and_goes_on_so(options):
    rows, one, other = units(9, 6), CoinFlip(seed=1, **options), CoinFlip(seed=1, **options)
    one.fit(rows[:5])
    other.load_state_dict(one.state_dict())
    np.testing.assert_array_equal(one.score(rows), other.score(rows))
    for part in (one, other):
        part.fit(rows[5:])
    np.testing.assert_array_equal(one.score(rows), other.score(rows))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coins": 0}, "coins must be positive, got 0"),
        ({"ridge": 0.0}, "ridge must be positive, got 0"),
        ({"lift": 7}, "lift must be an even number"),
    ],
)
def test_impossible_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        CoinFlip(**options)
