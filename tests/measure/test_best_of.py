"""Estimates of best-of-n against going through every sample there could have been."""

from collections.abc import Callable, Iterator
from itertools import combinations, permutations, product
from math import log

import numpy as np
import pytest

from prefloop.measure import best_of

PRIOR = np.array([0.40, 0.25, 0.20, 0.10, 0.05])
REWARD = np.array([0.2, -0.5, 1.0, 0.3, 2.0])
GOLD = np.array([0.2, -0.5, 1.0, 0.3, -1.0])
TIED = np.array([0.0, 1.0, 1.0, 1.0, 2.0])


def every_sample(size: int) -> Iterator[tuple[float, np.ndarray]]:
    """All samples of that size from the world of five responses, with their probabilities."""
    for places in product(range(len(PRIOR)), repeat=size):
        index = np.array(places)
        yield float(PRIOR[index].prod()), index


def expected(estimate: Callable[[np.ndarray], float], size: int) -> float:
    return sum(p * estimate(index) for p, index in every_sample(size))


def law_of_best(scores: np.ndarray, n: int) -> np.ndarray:
    """P(best of n = y) by going through all draws; among equals the first drawn."""
    found = np.zeros(len(PRIOR))
    for p, index in every_sample(n):
        found[index[scores[index].argmax()]] += p
    return found


def by_choosing(scores: np.ndarray, n: int) -> np.ndarray:
    """The weights by going through every choice of n of the samples, ties sharing."""
    found, choices = np.zeros(len(scores)), list(combinations(range(len(scores)), n))
    for choice in choices:
        index = np.array(choice)
        best = index[scores[index] == scores[index].max()]
        found[best] += 1 / len(best) / len(choices)
    return found


@pytest.mark.parametrize("scores", [REWARD, TIED], ids=["distinct", "tied"])
@pytest.mark.parametrize(("n", "size"), [(1, 3), (2, 2), (2, 4), (3, 5), (4, 4)])
def test_the_mean_of_the_best_is_without_bias(scores, n, size):
    law = law_of_best(scores, n)
    for values in (scores, GOLD):
        found = expected(lambda i, v=values: best_of.mean(v[i], scores[i], n), size)
        assert found == pytest.approx(law @ values, abs=1e-12)


@pytest.mark.parametrize(
    "scores", [np.array([3.0, 1.0, 2.0, 5.0, 4.0, 0.0]), np.array([1.0, 1.0, 0.0, 2.0, 2.0, 2.0])]
)
@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_the_weights_are_shares_of_all_choices(scores, n):
    np.testing.assert_allclose(best_of.weights(scores, n), by_choosing(scores, n), atol=1e-14)


def test_the_top_of_them_all_is_the_best_of_n_in_n_of_size():
    scores = np.random.default_rng(0).normal(size=1024)
    for n in (1, 2, 512, 1023, 1024):
        found = best_of.weights(scores, n)
        assert found.sum() == pytest.approx(1, abs=1e-12)
        assert found[scores.argmax()] == pytest.approx(n / 1024, rel=1e-12)


@pytest.mark.parametrize(
    ("n", "kl", "mean", "worst"),
    [
        (2, 0.1680598991, 0.61775, -0.04775),
        (4, 0.5810220897, 0.943424375, -0.274274375),
        (16, 1.6540643011, 1.5527559796, -0.4929841777),
    ],
)
def test_the_guides_world_has_its_numbers(n, kl, mean, worst):
    """By estimates whose expectation is taken over every sample of four, and by the masses."""
    order = REWARD.argsort()
    assert best_of.kl(PRIOR[order], n) == pytest.approx(kl, abs=1e-10)
    if n <= 4:
        found = expected(lambda i: best_of.mean(REWARD[i], REWARD[i], n), 4)
        assert found == pytest.approx(mean, abs=1e-12)
        found = expected(lambda i: best_of.mean(REWARD[i], -REWARD[i], n), 4)
        assert found == pytest.approx(worst, abs=1e-12)


@pytest.mark.parametrize(
    ("n", "bound"),
    [(2, 0.193147), (4, 0.636294), (10, 1.402585), (16, 1.835089), (1024, 5.932448)],
)
def test_the_bound_on_kl_has_the_papers_numbers(n, bound):
    assert best_of.kl_bound(n) == pytest.approx(bound, abs=1e-6)
    masses = np.random.default_rng(n).dirichlet(np.full(50, 0.3))
    assert 0 < best_of.kl(masses, n) < best_of.kl_bound(n)


def test_a_continuum_attains_the_bound():
    assert best_of.kl(np.ones(50_000), 16) == pytest.approx(best_of.kl_bound(16), abs=1e-3)
    assert best_of.kl_bound(60_000) == pytest.approx(10.002117, abs=1e-6)


def test_the_guides_other_world_has_its_numbers():
    masses = np.array([0.4, 0.3, 0.2, 0.1])
    assert best_of.kl(masses, 4) == pytest.approx(0.58711367, abs=1e-8)
    draws = np.repeat(np.arange(4.0), (masses * 4000).astype(int))
    assert best_of.win_rate(draws, 4) == pytest.approx(0.7826, abs=1e-3)


@pytest.mark.parametrize("scores", [REWARD, TIED], ids=["distinct", "tied"])
@pytest.mark.parametrize(("n", "size"), [(1, 2), (2, 3), (2, 5), (4, 5)])
def test_the_win_rate_is_without_bias(scores, n, size):
    beats = (np.sign(scores[:, None] - scores) + 1) / 2
    truth = law_of_best(scores, n) @ beats @ PRIOR
    assert expected(lambda i: best_of.win_rate(scores[i], n), size) == pytest.approx(truth)
    if scores is REWARD and n == 4:
        assert truth == pytest.approx(0.7798296875, abs=1e-10)


@pytest.mark.parametrize("n", [2, 4, 16])
def test_without_ties_the_win_rate_is_its_bound(n):
    scores = np.random.default_rng(0).normal(size=40)
    assert best_of.win_rate(scores, n) == pytest.approx(best_of.win_rate_bound(n), abs=1e-12)
    assert best_of.win_rate(np.repeat(scores, 3), n) < best_of.win_rate_bound(n)


@pytest.mark.parametrize(
    "scores", [np.array([3.0, 1.0, 2.0, 5.0, 4.0, 0.0]), np.array([1.0, 1.0, 0.0, 2.0, 2.0, 2.0])]
)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_pairs_of_bests_are_shares_of_all_pairs_of_choices(scores, n):
    found = np.zeros((6, 6))
    orders = list(permutations(range(6), 2 * n))
    for order in orders:
        one, two = np.array(order[:n]), np.array(order[n:])
        firsts = one[scores[one] == scores[one].max()]
        seconds = two[scores[two] == scores[two].max()]
        found[np.ix_(firsts, seconds)] += 1 / len(firsts) / len(seconds) / len(orders)
    np.testing.assert_allclose(best_of.pair_weights(scores, n), found, atol=1e-13)


def test_pairs_out_of_a_thousand_are_still_a_law():
    scores = np.random.default_rng(1).normal(size=1024)
    for n in (1, 64, 512):
        found = best_of.pair_weights(scores, n)
        assert found.sum() == pytest.approx(1, abs=1e-9)
        np.testing.assert_array_equal(found, found.T)


def test_accuracy_of_the_truth_is_one_and_of_its_opposite_none():
    truth = np.random.default_rng(2).normal(size=30)
    for n in (1, 4, 15):
        assert best_of.accuracy(truth, truth, n) == pytest.approx(1)
        assert best_of.accuracy(-truth, truth, n) == pytest.approx(0)
        assert best_of.accuracy(np.zeros(30), truth, n) == pytest.approx(0.5)
    assert best_of.accuracy(np.zeros(30), np.zeros(30), 2) is None


def test_accuracy_falls_where_the_scorer_errs_at_the_top():
    truth = np.linspace(-2, 2, 200)
    proxy = truth.copy()
    proxy[:4] = 5 - truth[:4] / 10
    one, many = (best_of.accuracy(proxy, truth, n) for n in (1, 64))
    assert one > 0.9 and many < 0.2


def test_the_estimated_kl_is_the_bound_less_what_repeats_take_off():
    rng = np.random.default_rng(3)
    assert best_of.estimated_kl(rng.normal(size=64), 16) == best_of.kl_bound(16)
    order = REWARD.argsort()
    for n in (2, 4, 16):
        drawn = rng.choice(REWARD[order], p=PRIOR[order], size=40_000)
        exact = best_of.kl(PRIOR[order], n)
        assert best_of.estimated_kl(drawn, n) == pytest.approx(exact, abs=0.01)
    assert best_of.estimated_kl(np.ones(8), 8) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("n", "maximum"),
    [
        (1, 0),
        (2, 0.5641895835),
        (4, 1.0293753730),
        (16, 1.7659913931),
        (64, 2.3437334651),
        (1024, 3.2482396014),
    ],
)
def test_the_largest_of_n_normals_has_the_guides_numbers(n, maximum):
    assert best_of.normal_maximum(n) == pytest.approx(maximum, abs=1e-9)
    drawn = np.random.default_rng(n).normal(size=(400, 1024))
    means = [best_of.mean(row, row, n) for row in drawn]
    error = np.std(means) / np.sqrt(len(means))
    assert abs(np.mean(means) - maximum) < 4 * error


def test_an_independent_error_of_equal_size_halves_the_gain():
    """Proxy X + Z, gold X: of what the proxy gains gold gains Var X / (Var X + Var Z)."""
    rng = np.random.default_rng(4)
    gold = rng.normal(size=(2000, 64))
    proxy = gold + rng.normal(size=(2000, 64))
    gains = [
        (best_of.mean(p, p, 16), best_of.mean(g, p, 16)) for p, g in zip(proxy, gold, strict=True)
    ]
    errors = np.std(gains, axis=0) / np.sqrt(len(gains))
    assert (np.abs(np.mean(gains, axis=0) - (2.4974889791, 1.2487444895)) < 4 * errors).all()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: best_of.weights(np.zeros(3), 4), "got 3 for 4; draw more"),
        (lambda: best_of.weights(np.zeros(3), 0), "got 3 for 0"),
        (lambda: best_of.pair_weights(np.zeros(3), 2), "got 3 for 4"),
        (lambda: best_of.win_rate(np.zeros(3), 3), "got 3 for 4"),
        (lambda: best_of.mean(np.zeros(2), np.array([0.0, np.nan]), 1), "must be a list of finite"),
        (lambda: best_of.kl_bound(0), "at least 1"),
    ],
)
def test_what_cannot_be_estimated_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_the_best_of_one_moves_nowhere():
    assert best_of.kl_bound(1) == 0 and best_of.kl(PRIOR, 1) == pytest.approx(0, abs=1e-15)
    assert best_of.kl_bound(4) == log(4) - 0.75
