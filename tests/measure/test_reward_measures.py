"""Accuracy, its limit and its interval; calibration against hand cases and known laws."""

from math import exp, inf, log

import numpy as np
import pytest
from scipy import optimize

from prefloop.measure.calibration import calibration, nll, temperature
from prefloop.measure.clustered import bootstrapped, clustered_share
from prefloop.measure.intervals import win_rate
from prefloop.measure.reward import accuracy, along, bayes_limit, hits

MARGINS = [0.8, -0.4, 3.0]
"""of the guidebook's reward pairs: −log σ is .37110067, .91301525, .04858735"""


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_guidebooks_pairs_are_two_thirds_right():
    assert [nll([m], [1.0]) for m in MARGINS] == pytest.approx(
        [0.37110067, 0.91301525, 0.04858735], abs=5e-9
    )
    assert accuracy(MARGINS, [1, 1, 1]).value == pytest.approx(0.66666667)


def test_a_tied_score_counts_half_or_when_strict_nothing():
    assert accuracy([0.0, 1.0], [1, 1]).value == 0.75
    assert accuracy([0.0, 1.0], [1, 1], strict=True).value == 0.5
    assert hits([0.0], [0.0], strict=True).tolist() == [0.0]


def test_tied_labels_are_left_out_and_nothing_but_ties_is_refused():
    assert accuracy([1.0, -1.0], [1, 0.5]).value == 1.0
    with pytest.raises(ValueError, match="all 2 labels are ties"):
        accuracy([1.0, 2.0], [0.5, 0.5])


def test_naming_a_pair_the_other_way_round_changes_nothing():
    margin, p = rng().normal(size=50), rng(1).uniform(size=50)
    swapped = accuracy(-margin, 1 - p)
    assert accuracy(margin, p) == pytest.approx(swapped)
    assert calibration(margin, p).ece == pytest.approx(calibration(-margin, 1 - p).ece)


def test_who_knows_p_reaches_the_bayes_limit_and_nobody_passes_it():
    p = rng().uniform(size=200)
    margin = np.log(p / (1 - p))
    assert accuracy(margin, p).value == pytest.approx(bayes_limit(p))
    assert accuracy(margin + rng(1).normal(size=200), p).value < bayes_limit(p)
    assert bayes_limit([1.0, 0.0, 0.5]) == 1.0


def test_soft_labels_are_the_mean_over_hard_ones_drawn_from_them():
    margin, p = rng().normal(size=20), rng(1).uniform(size=20)
    hard = (rng(2).uniform(size=(4000, 20)) < p).astype(float)
    mean = np.mean([hits(margin, row).mean() for row in hard])
    assert hits(margin, p).mean() == pytest.approx(mean, abs=0.01)


def test_one_pair_a_prompt_has_wilsons_interval_at_many_prompts():
    x = np.array([1.0] * 310 + [0.0] * 90)
    wilson = win_rate(x, np.full(400, 0.5))
    assert clustered_share(x) == pytest.approx(wilson, abs=1e-3)
    assert clustered_share(x, range(400)) == clustered_share(x)


def test_saying_everything_twice_narrows_nothing():
    x = (rng().uniform(size=100) < 0.7).astype(float)
    once, twice = clustered_share(x), clustered_share(np.repeat(x, 2), np.repeat(range(100), 2))
    assert twice == pytest.approx(once)
    assert clustered_share(np.repeat(x, 2)).high < twice.high


def test_the_clustered_interval_covers_the_truth_as_often_as_it_says():
    """Six pairs a prompt, each prompt with an accuracy of its own from Beta(6, 4): mean .6."""
    draw, covered = rng(), 0
    for _ in range(400):
        own = draw.beta(6, 4, size=40)
        x = (draw.uniform(size=(40, 6)) < own[:, None]).astype(float).ravel()
        found = clustered_share(x, np.repeat(range(40), 6))
        covered += found.low <= 0.6 <= found.high
    assert 0.92 <= covered / 400 <= 0.98


def test_a_share_of_one_is_still_an_estimate_and_one_prompt_says_nothing_of_others():
    sure = clustered_share([1.0] * 12, [0] * 6 + [1] * 6)
    assert sure.high == 1.0 and sure.low < 0.5
    assert clustered_share([1.0, 1.0, 0.0], ["x"] * 3) == (pytest.approx(2 / 3), 0.0, 1.0)
    with pytest.raises(ValueError, match=r"values in \[0, 1\], got 0 to 2"):
        clustered_share([0.0, 2.0])


def test_the_bootstrap_over_prompts_is_the_guidebooks():
    """§14.5: [.65, .35, .9]; and copies of a row that move together widen nothing."""
    sample = [1, 1, 0, 1, 0.5, 0, 1, 1, 0, 1]
    assert bootstrapped(sample, None, rng()) == pytest.approx((0.65, 0.35, 0.9))
    twice = bootstrapped(np.repeat(sample, 2), np.repeat(range(10), 2), rng())
    assert twice == pytest.approx((0.65, 0.35, 0.9))


def test_calibration_of_two_bins_by_hand():
    """Four pairs at σ = .6, three of them right, and two at σ = .9, one right."""
    margin = [log(1.5)] * 4 + [log(9)] * 2
    found = calibration(margin, [1, 1, 1, 0, 1, 0])
    assert [(b.count, b.confidence, b.accuracy) for b in found.bins] == [
        (4, pytest.approx(0.6), 0.75),
        (2, pytest.approx(0.9), 0.5),
    ]
    assert found.ece == pytest.approx((4 * 0.15 + 2 * 0.4) / 6)
    assert found.brier == pytest.approx((3 * 0.16 + 0.36 + 0.01 + 0.81) / 6)
    assert found.nll == pytest.approx(-(3 * log(0.6) + log(0.4) + log(0.9) + log(0.1)) / 6)


def test_every_confidence_has_its_bin():
    """From a coin at ½, the first bin's edge, to certainty at 1, the last one's."""
    found = calibration([0.0, 800.0, -0.1], [1, 1, 1])
    assert sum(b.count for b in found.bins) == 3
    assert (found.bins[0].low, found.bins[-1].high) == (0.5, 1.0)


def test_who_is_calibrated_has_no_error_and_temperature_one():
    margin = rng().normal(scale=2, size=4000)
    found = calibration(margin, sigmoid(margin))
    assert found.ece < 0.001
    assert found.temperature == pytest.approx(1, abs=1e-9)
    assert found.nll_at_temperature == pytest.approx(found.nll)


@pytest.mark.parametrize("scale", [0.25, 1.0, 4.0])
def test_scores_so_many_times_too_large_have_that_temperature(scale):
    margin = rng().normal(size=500)
    assert temperature(scale * margin, sigmoid(margin)) == pytest.approx(scale, rel=1e-8)
    drawn = (rng(1).uniform(size=500) < sigmoid(margin)).astype(float)
    by_search = optimize.minimize_scalar(
        lambda u: nll(scale * margin / exp(u), drawn), bounds=(-5, 5), method="bounded"
    )
    assert temperature(scale * margin, drawn) == pytest.approx(exp(by_search.x), rel=1e-4)


def test_no_temperature_helps_a_coin_and_none_is_needed_where_nothing_is_wrong():
    assert temperature([1.0, 1.0], [0, 1]) == inf
    assert temperature([1.0, -2.0], [0, 1]) == inf
    never = calibration([1.0, -2.0], [1, 0])
    assert (never.temperature, never.nll_at_temperature) == (0.0, 0.0)


def test_accuracy_along_a_path_is_read_in_order_of_kl():
    """.9, .8 and .6 right at KL 0, 2 and 4: .75 is crossed a quarter of the way from 2 to 4."""
    rights = {4.0: 6, 0.0: 9, 2.0: 8}
    pairs = [([1.0] * n + [-1.0] * (10 - n), [1] * 10, None) for n in rights.values()]
    found = along(list(rights), pairs)
    assert found.kl == [0, 2, 4]
    assert [a.value for a in found.accuracy] == pytest.approx([0.9, 0.8, 0.6])
    assert found.farthest == pytest.approx(2.5)
    assert along([0.0], pairs[1:2]).farthest is None


@pytest.mark.parametrize(
    ("margin", "p", "said"),
    [
        ([1.0], [1, 0], "one label for each margin"),
        ([float("nan")], [1], "leave pairs without a score out"),
        ([1.0], [2], r"labels must lie in \[0, 1\], got 2 to 2"),
    ],
)
def test_what_is_no_pair_is_refused(margin, p, said):
    with pytest.raises(ValueError, match=said):
        hits(margin, p)
