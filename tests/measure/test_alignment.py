"""The numbers of a round, by hand and against known laws."""

from math import exp, log
from typing import Any

import numpy as np
import pytest

import worlds
from prefloop.measure.alignment import (
    against,
    agreement,
    divergence,
    fluency,
    positive,
    reward,
    same_order,
)
from prefloop.types import Response


def drawn(text: str, tokens: int, **fields: Any) -> Response:
    """A sample of so many tokens."""
    return worlds.response(text, tokens=(1,) * tokens, **fields)


class TestDivergence:
    """KL(π‖π₀) from π's own samples."""

    def test_is_the_kl_of_the_law_that_was_sampled(self) -> None:
        """E_π[log π/π₀], and the interval covers it."""
        rng = np.random.default_rng(0)
        policy, initial = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.3, 0.6])
        picks = rng.choice(3, size=20_000, p=policy)
        own, first = np.log(policy)[picks].tolist(), np.log(initial)[picks].tolist()
        found = divergence([drawn("x", 2)] * len(picks), own, first)
        exact = float((policy * np.log(policy / initial)).sum())
        assert found["kl"] == pytest.approx(exact, rel=0.02)
        assert found["kl_low"] < exact < found["kl_high"]
        assert found["entropy"] == pytest.approx(-(policy * np.log(policy)).sum() / 2, rel=0.02)

    def test_of_a_policy_from_itself_is_zero(self) -> None:
        own = [-1.0, -2.5, -0.25]
        found = divergence([drawn("x", 3)] * 3, own, own)
        assert (found["kl"], found["kl_low"], found["kl_high"]) == (0.0, 0.0, 0.0)

    def test_is_positive_where_the_policy_likes_its_samples_more_than_the_initial_does(
        self,
    ) -> None:
        assert divergence([drawn("x", 1)] * 2, [-1.0, -1.0], [-3.0, -3.0])["kl"] == 2.0

    def test_says_how_far_the_samplers_log_probs_are_from_the_learners_a_token(self) -> None:
        samples = [drawn("x", 2, logp=-1.5), drawn("y", 3, logp=-2.0)]
        assert divergence(samples, [-1.0, -2.0], [0.0, 0.0])["sampler_gap"] == 0.5 / 5


def test_fluency_is_measured_over_all_tokens_not_over_responses() -> None:
    samples = [drawn("a b c", 1, finished=True), drawn("a b d", 4, finished=False)]
    found = fluency(samples, [-1.0, -9.0])
    assert found["response_length_mean"] == 2.5
    assert found["eos_rate"] == 0.5
    assert found["nll_ref"] == 2.0
    assert found["perplexity_ref"] == pytest.approx(exp(2))
    assert found["distinct_2"] == pytest.approx(3 / 4)


def test_a_hopeless_likelihood_has_a_finite_perplexity() -> None:
    assert fluency([drawn("a", 1)] * 2, [-1e4, -1e4])["perplexity_ref"] == exp(100)


def test_a_reward_has_its_mean_spread_and_interval_under_its_name() -> None:
    found = reward("proxy", [1.0, 2.0, 3.0, 6.0])
    assert found["proxy_reward_mean"] == 3.0
    assert found["proxy_reward_std"] == pytest.approx((14 / 4) ** 0.5)
    assert found["proxy_reward_low"] < 3.0 < found["proxy_reward_high"]


def test_log_odds_are_read_as_probabilities_however_large() -> None:
    found = positive([0.0, log(3), 1e6, -1e6])
    assert found["gold_positive"] == pytest.approx((0.5 + 0.75 + 1 + 0) / 4)


def test_wins_are_counted_prompt_by_prompt_with_ties_as_halves() -> None:
    after, before = [drawn("x", 2)] * 4, [drawn("y", 2)] * 4
    found = against([1.0, 0.0, 2.0, 5.0], after, [0.0, 1.0, 2.0, -5.0], before)
    assert found["win_rate"] == (1 + 0 + 0.5 + 1) / 4
    assert found["win_rate_low"] < found["win_rate"] < found["win_rate_high"]
    assert found["win_rate_length_controlled"] == pytest.approx(found["win_rate"], abs=0.05)


def test_wins_that_length_explains_are_not_counted_at_equal_length() -> None:
    """The longer sample always wins, whoever wrote it: at equal length nobody is better."""
    rng = np.random.default_rng(0)
    longer = rng.integers(-3, 8, size=200)
    after = [drawn("x", 10 + int(n)) for n in longer]
    wins = (longer + rng.normal(size=200) > 0).astype(float).tolist()
    found = against(wins, after, [0.5] * 200, [drawn("y", 10)] * 200)
    assert found["win_rate"] > 0.6
    assert abs(found["win_rate_length_controlled"] - 0.5) < 0.15


class TestAgreement:
    """Implicit reward against held-out labels."""

    def test_is_the_share_of_pairs_with_the_right_sign(self) -> None:
        found = agreement([2.0, -1.0, 0.5, -3.0], [1.0, 0.0, 0.2, 0.1])
        assert found["eval_accuracy"] == 0.75

    def test_leaves_ties_out_and_counts_no_margin_as_a_guess(self) -> None:
        assert agreement([1.0, 0.0, 5.0], [1.0, 1.0, 0.5])["eval_accuracy"] == 0.75

    def test_of_fewer_than_two_labels_is_not_known(self) -> None:
        assert agreement([1.0, 2.0], [1.0, 0.5]) == {}


class TestSameOrder:
    """A proxy and gold on two samples of each prompt."""

    def test_is_the_share_of_prompts_on_which_they_agree_where_gold_has_an_opinion(self) -> None:
        """Right, right, wrong, a proxy's tie, and a tie of gold that nobody counts."""
        proxy, other = [2.0, 0.0, 2.0, 1.0, 5.0], [1.0, 3.0, 1.0, 1.0, 1.0]
        gold, gold_other = [0.9, 0.1, 0.1, 0.7, 0.5], [0.2, 0.2, 0.2, 0.2, 0.5]
        found = same_order(proxy, other, gold, gold_other)
        assert found["proxy_accuracy"] == (1 + 1 + 0 + 0.5) / 4
        assert 0 <= found["proxy_accuracy_low"] < 0.625 < found["proxy_accuracy_high"] <= 1

    def test_of_fewer_than_two_decided_prompts_is_not_known(self) -> None:
        assert same_order([1.0, 2.0], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0]) == {}
