"""Online DPO."""

from prefloop.config import Config, Phase
from prefloop.recipes._testbed import testbed


def online_dpo(config: Config) -> list[Phase]:
    """Ask for a few labels on the policy's own samples every round, and go on from there.

    Guo et al. 2024 (arXiv:2402.04792): the reference stays π₀, each round learns from its own
    labels only. A round here is a batch of prompts, not one optimizer step.
    """
    settings = {
        "sample.sources": {"policy": 2},
        **testbed(config),
        "learn.init_from": "previous",
        "learn.reference": "pi0",
        "learn.data": "latest",
    }
    rounds = config.rounds or 12
    return [Phase(name="online", rounds=rounds, config=config.with_defaults(settings))]
