"""Exploratory preference optimisation."""

from prefloop.config import Config, Phase
from prefloop.recipes._testbed import testbed


def xpo(config: Config) -> list[Phase]:
    """Online DPO on a policy's sample against a reference's, which is pushed down besides.

    Xie et al. 2024, algorithm 1 (arXiv:2405.21046). The reference stays π₀, and its samples; data
    accumulate over rounds. TRL's trainer kept the last batch only.
    """
    settings = {
        **testbed(config),
        "sample.sources": {"policy": 1, "reference": 1},
        "explore.rule": {"name": "policy_vs_reference"},
        "learn.bonus": {"name": "xpo"},
        "learn.bonus_on": "reference",
        "learn.data": "all",
        "learn.epochs": 1,
        "learn.init_from": "previous",
        "learn.reference": "pi0",
    }
    rounds = config.rounds or 12
    return [Phase(name="online", rounds=rounds, config=config.with_defaults(settings))]
