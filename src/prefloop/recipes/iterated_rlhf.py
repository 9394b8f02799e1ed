"""Reinforcement learning from human feedback in instalments."""

from prefloop.config import Config, Phase
from prefloop.recipes._reward import LABELS
from prefloop.recipes._rlp import on_policy


def iterated_rlhf(config: Config) -> list[Phase]:
    """Answers, a reward model, PPO; then answers about that policy, a new reward model, PPO again.

    Bai et al. 2022 (arXiv:2204.05862), iterated online RLHF: every reward model learns from all
    answers so far, and every policy starts from π₀. `ask.labels` is of one instalment, of which
    there are `reward.retrainings` + 1; by default they are as many together as other recipes ask
    for at once.
    """
    labels = config.ask.labels or LABELS // (config.reward.retrainings + 1)
    again = {
        "sample.sources": {"policy": 2},
        "sample.prompts": labels,
        "explore.rule": {"name": "on_policy"},
        "explore.scorer": None,
        "reward.views": None,
    }
    return on_policy(config.override({"ask.labels": labels}), again, asks=True)
