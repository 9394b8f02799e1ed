"""Curves and laws from scores whose truth was planted."""

from math import inf

import numpy as np
import pytest

from prefloop.measure.best_of import kl_bound, normal_maximum
from prefloop.overoptimize import analysis
from prefloop.overoptimize.analysis import Outcome
from prefloop.overoptimize.plots import draw
from prefloop.overoptimize.request import Request, read_proxies
from prefloop.overoptimize.results import as_json, page
from prefloop.overoptimize.sheets import between, sheets

COUNTS = (1, 2, 4, 8, 16, 32, 64)
PROMPTS, SAMPLES = 80, 64


def world(seed: int = 0, hacks: int = 0, noise: float = 0.6) -> tuple[np.ndarray, np.ndarray]:
    """Gold N(0, 2) beside an offset for each prompt; a proxy that errs, and `hacks` a prompt."""
    rng = np.random.default_rng(seed)
    gold = rng.normal(size=(PROMPTS, SAMPLES))
    proxy = gold + noise * rng.normal(size=gold.shape)
    worst = gold.argsort(1)[:, :hacks]
    np.put_along_axis(proxy, worst, 5.0 - np.take_along_axis(gold, worst, 1) / 10, 1)
    return proxy, 2 * gold + rng.normal(size=(PROMPTS, 1))


def test_a_proxy_that_is_the_truth_gains_what_normals_gain():
    _, gold = world()
    found = analysis.chosen("truth", COUNTS, [3 * gold + 1], gold)
    np.testing.assert_allclose(found.proxy_gain, found.gold_gain, atol=1e-12)
    assert found.correlation == pytest.approx(1)
    assert found.accuracy == [pytest.approx(1)] * 6
    assert found.accurate == (inf, inf, inf)
    for gain, error, n in zip(found.gold_gain, found.gold_error, COUNTS, strict=True):
        assert abs(gain - normal_maximum(n)) <= 4 * error + 1e-9
    assert found.kl == pytest.approx([kl_bound(n) for n in COUNTS])


def test_an_independent_error_takes_its_share_and_nothing_turns():
    proxy, gold = world()
    found = analysis.chosen("noisy", COUNTS, [proxy], gold)
    share = 1 / np.sqrt(1 + 0.36)
    assert found.correlation == pytest.approx(share, abs=0.02)
    for gain, own, error in zip(found.gold_gain, found.proxy_gain, found.gold_error, strict=True):
        assert abs(gain - share * own) < 4 * error + 0.02
    assert (np.diff(found.gold_gain) > 0).all()
    assert found.law.alpha.low > 0.5


def test_what_all_samples_of_a_prompt_share_is_no_gain_and_no_error():
    """Some prompts are rewarded whatever is answered."""
    proxy, gold = world()
    easy = np.random.default_rng(1).normal(scale=50, size=(PROMPTS, 1))
    found, shifted = (analysis.chosen("noisy", COUNTS, [proxy + x], gold + x) for x in (0.0, easy))
    for name in ("gold_gain", "proxy_gain", "gold_error", "correlation"):
        np.testing.assert_allclose(getattr(shifted, name), getattr(found, name), atol=1e-9)


def test_hacks_turn_gold_over_and_the_fit_says_where():
    proxy, gold = world(hacks=3)
    found = analysis.chosen("hacked", COUNTS, [proxy], gold)
    top = int(np.argmax(found.gold_gain))
    assert 0 < top < len(COUNTS) - 1 and found.gold_gain[-1] < 0
    assert found.law.distance.high < np.sqrt(found.kl[-1])
    assert found.law.distance.low < np.sqrt(found.kl[top]) * 1.5
    assert 0 <= found.accurate.value < 1 and found.accuracy[-1] < 0.5


def test_the_threshold_decides_how_far_is_accurate():
    proxy, gold = world(hacks=3)
    strict, loose = (
        analysis.chosen("hacked", COUNTS, [proxy], gold, threshold).accurate.value
        for threshold in (0.75, 0.6)
    )
    assert strict < loose


def test_seeds_of_a_proxy_widen_its_interval():
    _, gold = world()
    rng = np.random.default_rng(3)
    several = [gold + scale * rng.normal(size=gold.shape) for scale in (0.2, 2.0, 8.0)]
    one = analysis.chosen("one", COUNTS, several[:1], gold)
    all_three = analysis.chosen("three", COUNTS, several, gold)
    mean = np.mean([analysis.chosen("x", COUNTS, [s], gold).gold_gain for s in several], axis=0)
    np.testing.assert_allclose(all_three.gold_gain, mean, atol=1e-12)
    assert all_three.gold_error[-1] > 2 * one.gold_error[-1]


def climbed() -> analysis.Climbed:
    """Two seeds on a law of RL with α = 1, β = .5, in gold units of 2."""
    far = ([0.0, 0.5, 1.0, 2.0], [0.0, 1.5, 4.0])
    runs = {
        seed: (d, d, [0.0, *(2 * x * (1 - 0.5 * np.log(x)) for x in d[1:])])
        for seed, d in enumerate(far)
    }
    return analysis.climbed("ppo", "hacked", runs, {"seed 2": "out of memory"}, 2.0)


def test_a_recipes_runs_are_fitted_together():
    law = climbed().law
    assert law is not None
    assert (law.law.alpha, law.law.beta) == pytest.approx((1.0, 0.5))


def test_one_run_has_a_law_and_no_limits():
    far = [0.0, 0.5, 1.0, 2.0]
    gold = [0.0, *(x * (1 - 0.5 * np.log(x)) for x in far[1:])]
    law = analysis.climbed("ppo", "x", {0: (far, far, gold)}, {}, 1.0).law
    assert law is not None and law.alpha == (pytest.approx(1.0), -inf, inf)
    assert between(law.beta) == "0.50"


def test_one_distance_makes_no_law():
    assert (
        analysis.climbed("dpo", "x", {0: ([0.0, 1.0], [0.0, 1.0], [0.0, 1.0])}, {}, 1.0).law is None
    )
    assert analysis.climbed("dpo", "x", {}, {"seed 0": "no"}, 1.0).law is None


def outcome() -> Outcome:
    proxy, gold = world(hacks=3)
    found = [
        analysis.chosen("hacked", COUNTS, [proxy], gold),
        analysis.chosen("truth", COUNTS, [gold], gold),
    ]
    lost = analysis.climbed("ppo", "truth", {}, {"seed 0": "it fell"}, 2.0)
    return Outcome(chosen=found, climbed=[climbed(), lost], gold_unit=2.0)


def test_tables_and_file_say_the_same():
    request = Request(proxies=read_proxies("proxy"), settings={}, samples=SAMPLES, prompts=PROMPTS)
    said, data = page(request, outcome()), as_json(request, outcome())
    assert "| ppo | hacked | 2 of 3 | 1.00" in said
    assert "| ppo | truth | failed |" in said and "- ppo, truth, seed 0: it fell" in said
    assert data["best_of"][1]["accurate_kl"]["value"] is None
    assert data["policies"][0]["runs"]["0"]["gold_gain"][1] == pytest.approx(0.6733, abs=1e-3)
    widths = [len(row) for sheet in sheets(outcome()) for row in (sheet.head, *sheet.rows)]
    assert widths == [9] * 3 + [10] * 3


def test_the_drawing_shows_every_proxy_and_policy(tmp_path):
    draw(outcome(), tmp_path / "one.svg")
    drawn = (tmp_path / "one.svg").read_text()
    for word in ("hacked", "truth", "ppo", "accuracy", "√KL"):
        assert word in drawn
    only = Outcome(chosen=outcome().chosen, climbed=[], gold_unit=1.0)
    draw(only, tmp_path / "two.svg")
    assert "ppo" not in (tmp_path / "two.svg").read_text()


def test_never_is_said_as_a_word():
    from prefloop.measure.intervals import Interval

    assert between(Interval(inf, inf, inf)) == "never"
    assert between(Interval(1.0, -0.5, inf)) == "1.00 (−0.50 to never)"
