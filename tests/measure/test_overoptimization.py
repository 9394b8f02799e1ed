"""Laws against their published numbers, fits against laws that were planted."""

from math import e, inf, sqrt

import numpy as np
import pytest

from prefloop.measure.best_of import normal_maximum
from prefloop.measure.overoptimization import (
    Law,
    farthest_accurate_kl,
    farthest_accurate_kl_interval,
    fit,
    fit_interval,
    percentiles,
    regressional,
    resampled,
)

DISTANCES = np.sqrt([0.0, 0.2, 0.64, 1.3, 2.0, 4.0, 8.0])
KINDS = ("best_of_n", "rl")
GUIDE = ([0, 2, 5, 10, 15, 20, 30], [0.86, 0.85, 0.83, 0.79, 0.76, 0.71, 0.62])


def test_the_theorys_laws_have_its_numbers():
    assert Law(kind="best_of_n", alpha=1.0, beta=0.2).peak == pytest.approx((2.5, 1.25))
    assert Law(kind="rl", alpha=1.0, beta=0.2).peak == pytest.approx((e**4, 0.2 * e**4))
    assert e**4 == pytest.approx(54.5981500) and 0.2 * e**4 == pytest.approx(10.9196300)


def test_the_guides_laws_have_its_numbers():
    rl = Law(kind="rl", alpha=1.0, beta=0.25)
    assert rl.at(sqrt(20)) == pytest.approx(2.79747070, abs=1e-8)
    assert rl.peak.distance == pytest.approx(20.08553692, abs=1e-8)
    assert rl.peak.distance**2 == pytest.approx(403.42879349, abs=1e-7)
    chosen = Law(kind="best_of_n", alpha=1.0, beta=0.1)
    assert chosen.at(sqrt(4)) == pytest.approx(1.6)
    assert chosen.peak.distance**2 == pytest.approx(25)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.3), (0.5, 0.4), (2.0, 0.7)])
def test_nowhere_is_a_law_above_its_peak(kind, alpha, beta):
    law = Law(kind=kind, alpha=alpha, beta=beta)
    far = np.linspace(1e-3, 4 * law.peak.distance, 4001)
    rewards = [law.at(d) for d in far]
    assert max(rewards) <= law.peak.reward + 1e-12
    assert far[int(np.argmax(rewards))] == pytest.approx(law.peak.distance, rel=2e-3)
    assert law.at(law.peak.distance) == pytest.approx(law.peak.reward)
    if kind == "rl":
        assert law.at(e ** (alpha / beta)) == pytest.approx(0, abs=1e-12)


def test_a_law_that_only_rises_has_no_peak_and_one_that_only_falls_has_it_at_the_start():
    for kind in KINDS:
        assert Law(kind=kind, alpha=1.0, beta=-0.1).peak == (inf, inf)
    assert Law(kind="best_of_n", alpha=-1.0, beta=0.1).peak == (0, 0)
    assert Law(kind="rl", alpha=1e3, beta=1e-3).peak.distance == inf
    assert Law(kind="rl", alpha=1.0, beta=0.2).at(0.0) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_finds_the_law_that_made_the_points(kind):
    law = Law(kind=kind, alpha=1.3, beta=0.4)
    found = fit([(DISTANCES, [law.at(d) for d in DISTANCES])], kind)
    assert (found.alpha, found.beta) == pytest.approx((1.3, 0.4))


@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_has_the_smallest_squares(kind):
    rewards = np.random.default_rng(0).normal(size=len(DISTANCES))
    rewards[0] = 0

    def squares(alpha, beta):
        law = Law(kind=kind, alpha=alpha, beta=beta)
        return sum((law.at(d) - r) ** 2 for d, r in zip(DISTANCES, rewards, strict=True))

    best = fit([(DISTANCES, rewards)], kind)
    least = squares(best.alpha, best.beta)
    for a, b in ((1e-3, 0), (-1e-3, 0), (0, 1e-3), (0, -1e-3)):
        assert squares(best.alpha + a, best.beta + b) > least


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_cover_the_law_at_about_their_level(kind):
    """Forty prompts with a law of their own each, and noise: is the mean law inside?"""
    rng, covered, trials = np.random.default_rng(1), np.zeros(2), 200
    for _ in range(trials):
        laws = [
            Law(kind=kind, alpha=1 + rng.normal(), beta=0.3 + 0.3 * rng.normal()) for _ in "x" * 40
        ]
        curves = [(DISTANCES, [law.at(d) + 0.1 * rng.normal() for d in DISTANCES]) for law in laws]
        found = fit_interval(curves, kind, resampled(rng, len(curves), draws=200))
        assert found.law == fit(curves, kind)
        covered += [found.alpha.low < 1 < found.alpha.high, found.beta.low < 0.3 < found.beta.high]
    assert (covered / trials > 0.88).all() and (covered / trials < 0.99).all()


def test_seeds_that_got_to_different_places_are_fitted_together():
    law = Law(kind="rl", alpha=0.8, beta=0.2)
    curves = [(far, [law.at(d) for d in far]) for far in ([0.0, 0.5, 1.1], [0.7, 2.0], [3.0])]
    found = fit_interval(curves, "rl", resampled(np.random.default_rng(0), 3, draws=200))
    assert (found.law.alpha, found.law.beta) == pytest.approx((0.8, 0.2))
    assert found.distance.value == pytest.approx(law.peak.distance)
    assert found.reward.low <= law.peak.reward <= found.reward.high + 1e-9


def test_too_few_distances_make_no_law():
    with pytest.raises(ValueError, match=r"at least 2 distances above zero, got \[1.0\]"):
        fit([([0.0, 1.0], [0.0, 0.5])], "rl")
    with pytest.raises(ValueError, match="as many finite rewards"):
        fit([([0.5, 1.0], [0.0, np.nan])], "rl")


def test_the_guides_path_is_accurate_up_to_sixteen_nats():
    assert farthest_accurate_kl(*GUIDE) == pytest.approx(16.0)
    assert farthest_accurate_kl(*GUIDE, threshold=0.86) == pytest.approx(0)
    assert farthest_accurate_kl(*GUIDE, threshold=0.5) is None
    assert farthest_accurate_kl(*GUIDE, threshold=0.9) == 0


def test_only_the_first_crossing_counts():
    assert farthest_accurate_kl([0, 1, 2, 3], [0.8, 0.7, 0.9, 0.9]) == pytest.approx(0.5)


def test_a_path_that_is_none_is_refused():
    with pytest.raises(ValueError, match="must not fall along a path"):
        farthest_accurate_kl([1, 0], [0.8, 0.7])
    with pytest.raises(ValueError, match="one accuracy for each KL"):
        farthest_accurate_kl([1, 2], [0.8])


def test_the_crossings_interval_covers_it():
    rng, path = np.random.default_rng(2), np.array([0.0, 1.0, 2.0, 4.0])
    chance = np.array([0.9, 0.85, 0.7, 0.5])
    truth = farthest_accurate_kl(path, chance)
    inside = 0
    for _ in range(100):
        rows = (rng.random((150, 4)) < chance).astype(float)
        rows[::10, 3] = np.nan
        found = farthest_accurate_kl_interval(path, rows, resampled(rng, 150, draws=200))
        inside += found.low <= truth <= found.high
    assert 86 <= inside <= 100


def test_what_is_never_crossed_is_infinitely_far():
    rows = np.tile([0.9, 0.8], (10, 1))
    counts = resampled(np.random.default_rng(0), 10, draws=20)
    found = farthest_accurate_kl_interval([0, 1], rows, counts)
    assert found == (inf, inf, inf)


def test_regression_to_the_mean_has_the_theorys_numbers():
    proxy = sqrt(2) * normal_maximum(16)
    assert proxy == pytest.approx(2.4974889791)
    found = regressional(proxy, gold_variance=1.0, error_variance=1.0)
    assert found == pytest.approx(1.2487444895)


def test_regression_to_the_mean_is_the_conditional_mean():
    """A regression line through samples, by least squares."""
    rng = np.random.default_rng(3)
    gold, error = 1 + 2 * rng.normal(size=200_000), -0.5 + rng.normal(size=200_000)
    slope, offset = np.polyfit(gold + error, gold, 1)
    for c in (-2.0, 0.5, 4.0):
        found = regressional(
            c, gold_variance=4.0, error_variance=1.0, gold_mean=1.0, error_mean=-0.5
        )
        assert found == pytest.approx(offset + slope * c, abs=0.02)


def test_percentiles_take_infinities():
    assert percentiles([1.0, 2.0, inf, inf], 0.5) == (1.0, inf)


def test_seeds_and_prompts_are_both_drawn():
    """Variance of a grand mean with an effect of each: that of both, as over fresh worlds."""
    rng, seeds, prompts = np.random.default_rng(5), 6, 30
    truth, found = [], []
    for _ in range(300):
        rows = rng.normal(size=(seeds, 1)) + rng.normal(size=(1, prompts))
        truth.append(rows.mean())
        counts = resampled(rng, seeds * prompts, groups=seeds, draws=60)
        assert (counts.sum(1) == seeds * prompts).all()
        found.append(np.var(counts @ rows.flatten() / (seeds * prompts)))
    shrunk = 1 / seeds * (1 - 1 / seeds) + 1 / prompts * (1 - 1 / prompts)
    assert np.var(truth) == pytest.approx(1 / seeds + 1 / prompts, rel=0.25)
    assert np.mean(found) == pytest.approx(shrunk, rel=0.1)


def test_groups_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="as many in each of 2 groups, got 3"):
        resampled(np.random.default_rng(0), 3, groups=2)
