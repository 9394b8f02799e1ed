"""Reward learning on policy: the phases that UML and SPG share."""

from typing import Any

from prefloop.config import Config, ConfigError, Phase
from prefloop.recipes._ppo import PPO
from prefloop.recipes._reward import climbed, collected, given_scorer, imitation

SAMPLES = 10
"""samples of the policy for each prompt, n in the paper"""


def on_policy(config: Config, again: dict[str, Any], *, asks: bool) -> list[Phase]:
    """SFT → answers, a reward model → PPO → samples of it, a new reward model → PPO from π₀ again.

    `rounds` is the length of each PPO phase, `reward.retrainings` how often the last two are done.
    Every PPO phase starts from π₀ (π_SFT), not from the one before, and is held to it.
    """
    if given_scorer(config):
        raise ConfigError(
            f"{config.recipe} learns its reward models itself, got explore.scorer="
            f"{config.explore.scorer and config.explore.scorer.name}; leave it out, or climb yours "
            "with the recipe ppo"
        )
    phases = [*imitation(config), collected(config), climbed(config, PPO, name="policy 1")]
    for turn in range(2, config.reward.retrainings + 2):
        phases.append(_relearned(phases[-1], again, asks=asks, name=f"reward {turn}"))
        phases.append(climbed(config, PPO, name=f"policy {turn}"))
    return phases


def _relearned(policy: Phase, again: dict[str, Any], *, asks: bool, name: str) -> Phase:
    """The reward model trained anew, on the answers and on what the policy says now."""
    settings = {
        "sample.sources": {"policy": SAMPLES},
        "learn.loss": {"name": "dpo"},
        "learn.bonus": None,
        "ask.labels": None,
        **again,
    }
    config = policy.config.override(settings)
    return Phase(name=name, rounds=1, config=config, learns="reward", asks=asks)
