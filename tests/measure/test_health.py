"""Every check turns at its thresholds, is silent without its numbers and names real settings."""

import math
import re

import pytest

from prefloop import config
from prefloop.measure.health import CHECKS, examine, kl_range

LN2 = math.log(2)
EPS = 1e-6


def gold_and_proxy(*rows):
    return [
        {"gold_reward_mean": gold, "gold_reward_std": 2.0, "proxy_reward_mean": proxy}
        for gold, proxy in rows
    ]


def likelihood(chosen, rejected):
    reference = {"logp_chosen_ref": -40.0, "logp_rejected_ref": -40.0}
    return [{}, {"logp_chosen": chosen, "logp_rejected": rejected, **reference}]


def lengths(growth, gold=0.0):
    start = {"response_length_mean": 20.0, "gold_reward_mean": 1.0, "gold_reward_std": 2.0}
    end = {"response_length_mean": 20.0 * (1 + growth), "gold_reward_mean": 1.0 + 2 * gold}
    return [start, {**end, "gold_reward_std": 2.0}]


def first_loss(gap):
    return [{"loss_first": LN2 + gap, "loss_expected_first": LN2}]


def both(name, share):
    return [{name: 0.8}, {name: 0.8 * share}]


def missing(share):
    return [{"labels_total": 1000 * (1 - share), "labels_missing": 1000 * share}]


AT_THE_THRESHOLDS = [
    ("First loss", lambda x: first_loss(x), 5e-3, 5e-2),
    ("Chosen log-prob", lambda x: likelihood(-40 * (1 + x), -60.0), 0.1, 0.5),
    ("Length growing", lambda x: lengths(x), 0.25, 1.0),
    ("Proxy up", lambda x: gold_and_proxy((0, 0), (4, 1), (4 - 2 * x, 2)), 0.2, 0.5),
    ("KL", lambda x: [{"kl": x}], 15.0, 30.0),
    ("Ties", lambda x: [{"ties": x}], 0.25, 0.5),
    ("Missing labels", missing, 0.05, 0.2),
    ("Duplicate", lambda x: [{"duplicates": x}], 0.1, 0.3),
    ("Sampler", lambda x: [{"sampler_gap": x}], 0.05, 0.2),
    ("Distinct-2", lambda x: both("distinct_2", x), 0.7, 0.4),
    ("Entropy", lambda x: both("entropy", x), 0.5, 0.2),
    ("Policy ratio", lambda x: [{"ratio_off_first": x}], 1e-3, 1e-2),
    ("Critic's error", lambda x: [{"value_error": 3.0}, {"value_error": 3.0 * x}], 2.0, 10.0),
    ("Reward model on held-out", lambda x: [{"reward_accuracy": x}], 0.6, 0.52),
    ("Proxy agreeing", lambda x: [{"proxy_accuracy": x}], 0.7, 0.6),
    ("Responses that end", lambda x: [{"eos_rate": x}], 0.5, 0.05),
]


def verdict(name, metrics):
    (found,) = [v for v in examine(metrics) if v.name.startswith(name)]
    return found


@pytest.mark.parametrize(("name", "metrics", "watch", "stop"), AT_THE_THRESHOLDS)
def test_a_check_turns_at_its_thresholds(name, metrics, watch, stop):
    worse = EPS if stop > watch else -EPS
    levels = [
        verdict(name, metrics(value)).verdict
        for value in (watch - worse, watch + worse, stop - worse, stop + worse)
    ]
    assert levels == ["ok", "watch", "watch", "stop"]


@pytest.mark.parametrize(("name", "metrics", "watch", "stop"), AT_THE_THRESHOLDS)
def test_advice_names_settings_that_exist(name, metrics, watch, stop):
    advice = verdict(name, metrics(2 * stop if stop > watch else stop / 2)).advice
    settings = re.findall(r"\b[a-z]+\.[a-z_]+\b", advice)
    assert settings
    for section, key in (setting.split(".") for setting in settings):
        assert key in config.Config.model_fields[section].annotation.model_fields


def test_every_check_is_turned_by_some_test_above():
    turned = len(AT_THE_THRESHOLDS) + len(["leaked prompts", "not finite"])
    assert turned == len(CHECKS) + len([kl_range])


def test_a_proxy_of_another_phase_is_not_compared_with_the_last_ones():
    """The first proxy's scale is not the second's: gold fell under the first alone."""
    before = [{**row, "phase": "policy 1"} for row in gold_and_proxy((4, 0), (1, 9))]
    after = [{**row, "phase": "policy 2"} for row in gold_and_proxy((0, 10), (1, 11))]
    assert verdict("Proxy up", before).verdict == "stop"
    assert verdict("Proxy up", before + after).verdict == "ok"


@pytest.mark.parametrize(("seen", "expected"), [(0, "ok"), (1, "stop")])
def test_one_evaluation_prompt_seen_in_training_is_too_many(seen, expected):
    metrics = [{"eval_prompts_seen": seen}, {"eval_prompts_seen": 0}]
    assert verdict("Evaluation prompts", metrics).verdict == expected


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_metric_that_is_not_finite_stops_and_is_read_by_no_other_check(broken):
    (found,) = examine([{"round": 1, "kl": broken}])
    assert (found.name, found.verdict) == ("Metrics that are not finite", "stop")


def test_checks_without_numbers_are_left_out():
    names = ("kl", "eos_rate", "loss_first", "ties", "gold_reward_mean", "sampler_gap")
    assert examine([{"round": n, **dict.fromkeys(names)} for n in range(3)]) == []
    assert examine([]) == []


def test_the_checks_that_compare_with_the_start_need_two_rounds():
    row = {"distinct_2": 0.1, "entropy": 0.1, "logp_chosen": -1.0, "logp_rejected": -1.0}
    assert [v.name for v in examine([row])] == ["Metrics that are not finite"]


def test_a_large_expected_loss_is_compared_relatively():
    """IPO at β = 0.1 starts at (1/2β)² = 25: a gap of 0.02 there is rounding."""
    metrics = [{"loss_first": 25.02, "loss_expected_first": 25.0}]
    assert verdict("First loss", metrics).verdict == "ok"


def test_the_worst_first_loss_of_all_rounds_counts():
    assert verdict("First loss", [*first_loss(-0.5), *first_loss(0.0)]).value == pytest.approx(0.5)


@pytest.mark.parametrize(("chosen", "rejected"), [(-60.0, -30.0), (-30.0, -60.0)])
def test_likelihood_is_well_where_chosen_and_rejected_part(chosen, rejected):
    assert verdict("Chosen log-prob", likelihood(chosen, rejected)).verdict == "ok"


def test_length_may_grow_as_fast_as_gold_does():
    assert verdict("Length growing", lengths(0.9, gold=1.0)).verdict == "ok"
    assert verdict("Length growing", lengths(0.9, gold=0.8)).verdict == "watch"


def test_gold_may_fall_where_the_proxy_falls_as_well():
    assert verdict("Proxy up", gold_and_proxy((0, 0), (4, 2), (0, 1))).verdict == "ok"


@pytest.mark.parametrize(("kl", "expected"), [(7.9, "ok"), (8.1, "watch"), (10.1, "stop")])
def test_a_kl_limit_of_the_users_takes_the_place_of_ours(kl, expected):
    (found,) = [v for v in examine([{"kl": kl}], kl_limit=10.0) if v.name.startswith("KL")]
    assert found.verdict == expected
