"""A run that never happened, with numbers such as the demo gives."""

from math import exp, log

import pytest


@pytest.fixture(scope="session")
def metrics():
    return [one_round(n, n / 12) for n in range(13)]


def one_round(n, s):
    learned = n > 0
    win = 0.5 + 0.31 * s if learned else None
    return {
        "round": n,
        "phase": "online",
        "labels_total": 128 * n,
        "labels_missing": 0,
        "proxy_reward_mean": 0.2 + 2.2 * s,
        "proxy_reward_std": 1.1,
        "gold_reward_mean": 0.1 + 1.5 * s,
        "gold_reward_std": 1.3,
        "gold_positive": 0.46 + 0.3 * s,
        "judges": {"vader": 0.11 + 0.4 * s},
        "kl": 12 * s,
        "kl_low": 11 * s,
        "kl_high": 13 * s,
        "win_rate": win,
        "win_rate_low": win and win - 0.05,
        "win_rate_high": win and win + 0.05,
        "win_rate_length_controlled": win and win - 0.03,
        "response_length_mean": 15.2 + 2 * s,
        "perplexity_ref": exp(3.27 + 0.45 * s),
        "nll_ref": 3.27 + 0.45 * s,
        "eos_rate": 0.94 - 0.25 * s,
        "distinct_2": 0.76 - 0.07 * s,
        "entropy": 3.3 - 0.5 * s,
        "logp_chosen": -46 - 2 * s if learned else None,
        "logp_rejected": -47 - 9 * s if learned else None,
        "loss": 0.66 - 0.1 * s if learned else None,
        "loss_first": log(2) if n == 1 else None,
        "loss_expected_first": log(2) if n == 1 else None,
        "accuracy": 0.6 + 0.2 * s if learned else None,
        "ties": 0.0,
        "duplicates": 0.01,
        "sampler_gap": 3e-6,
        "eval_prompts_seen": 0,
        "tokens_generated": 9000,
        "tokens_trained": 21000,
        "seconds_sample": 3.0,
        "seconds_ask": 0.1,
        "seconds_learn": 5.0,
        "seconds_measure": 4.0,
    }
