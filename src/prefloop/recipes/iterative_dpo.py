"""Iterative DPO."""

from prefloop.config import Config, Phase
from prefloop.recipes._testbed import testbed


def iterative_dpo(config: Config) -> list[Phase]:
    """A few large rounds, each trained from π₀ on all labels so far.

    Xiong et al. 2024 (arXiv:2312.11456). RLHFlow's published loop differs: it starts from the
    previous iterate and makes it the reference (`learn.init_from=previous
    learn.reference=previous learn.data=latest`).
    """
    settings = {
        "sample.sources": {"policy": 2},
        **testbed(config),
        "sample.prompts": 512,
        "learn.init_from": "pi0",
        "learn.reference": "pi0",
        "learn.data": "all",
        "learn.optimizer": "fresh",
    }
    rounds = config.rounds or 3
    return [Phase(name="iterative", rounds=rounds, config=config.with_defaults(settings))]
