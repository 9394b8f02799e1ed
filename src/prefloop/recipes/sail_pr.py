"""SAIL with the policy's samples and an oracle's labels."""

from prefloop.config import Config, Phase
from prefloop.recipes._sail import ONE_STEP
from prefloop.recipes._testbed import testbed


def sail_pr(config: Config) -> list[Phase]:
    """Online DPO that also differentiates the law its samples come from: rounds of one step.

    Ding et al. 2024 (arXiv:2406.15567), code name DPR. The published code divides by the
    log-probability where it should differentiate it, and trains on mismatched prompts.
    """
    settings = {
        **testbed(config),
        "sample.sources": {"policy": 2},
        "explore.rule": {"name": "on_policy"},
        "learn.loss": {"name": "sail", "gamma": 0.3, **_beta(config)},
        **ONE_STEP,
    }
    rounds = config.rounds or 48
    return [Phase(name="online", rounds=rounds, config=config.with_defaults(settings))]


def _beta(config: Config) -> dict[str, float]:
    return {"beta": 0.2} if testbed(config) else {}
