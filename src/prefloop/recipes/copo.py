"""Count-based online preference optimisation."""

from prefloop.config import Config, Phase
from prefloop.recipes._testbed import testbed


def copo(config: Config) -> list[Phase]:
    """Online DPO that also raises those of its samples whose like was rarely asked about.

    Bai et al. 2025 (arXiv:2501.12735). Counts are of the questions of all earlier rounds, in a
    fixed feature space; the sample is drawn, not greedy; the importance ratio is against the policy
    that drew it. `learn.bonus.alpha=0` is online DPO; `copo_paper` is as published.
    """
    settings = {
        "sample.sources": {"policy": 2},
        **testbed(config),
        "learn.bonus": {"name": "copo"},
        "learn.bonus_on": "policy",
        "explore.novelty": {"name": "elliptical"},
        "learn.init_from": "previous",
        "learn.reference": "pi0",
        "learn.data": "latest",
    }
    rounds = config.rounds or 12
    return [Phase(name="online", rounds=rounds, config=config.with_defaults(settings))]
