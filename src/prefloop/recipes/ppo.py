"""Proximal policy optimisation."""

from prefloop.config import Config, Phase
from prefloop.recipes._ppo import PPO
from prefloop.recipes._reward import climbed, collected, given_scorer, imitation


def ppo(config: Config) -> list[Phase]:
    """A reward model learned once from answers about π₀'s samples, then climbed by PPO.

    Ouyang et al. 2022 (arXiv:2203.02155), Stiennon et al. 2020 (arXiv:2009.01325). With
    `explore.scorer` set to a reward model of yours nobody is asked: that one is climbed, the critic
    starting from a zero head.
    """
    before = imitation(config)
    if given_scorer(config):
        return [*before, climbed(config, {**PPO, "credit.critic": "zero"})]
    return [*before, collected(config), climbed(config, PPO)]
