"""Value-incentivised preference optimisation, online."""

from prefloop.config import Config, Phase
from prefloop.recipes._testbed import testbed


def vpo(config: Config) -> list[Phase]:
    """Online DPO with optimism about the value: a calibration response of π₀ is pushed down.

    Cen et al. 2024 (arXiv:2405.19320), which refits on all data; here a round learns from its own
    labels (`learn.data=all` for the paper's). `learn.bonus.bound` keeps the problem well posed.
    """
    settings = {
        "sample.sources": {"policy": 2, "reference": 1},
        **testbed(config),
        **({"sample.sources": {"policy": 3, "reference": 1}} if testbed(config) else {}),
        "learn.bonus": {"name": "vpo", "mode": "online"},
        "learn.bonus_on": "reference",
        "learn.init_from": "previous",
        "learn.reference": "pi0",
        "learn.data": "latest",
    }
    rounds = config.rounds or 12
    return [Phase(name="online", rounds=rounds, config=config.with_defaults(settings))]
