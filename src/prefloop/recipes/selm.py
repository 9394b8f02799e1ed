"""Self-exploring language models."""

from prefloop.config import Config, Phase
from prefloop.recipes._testbed import testbed


def selm(config: Config) -> list[Phase]:
    """A few large rounds, each against the policy it began with, whose own sample is pushed down.

    Zhang et al. 2024, algorithm 1 (arXiv:2405.19332): the reference of a round is the previous
    iterate, and the bonus is on its response. That response is sampled here, not greedy.
    """
    settings = {
        "sample.sources": {"policy": 2},
        **testbed(config),
        "sample.prompts": 512,
        "learn.bonus": {"name": "selm"},
        "learn.bonus_on": "policy",
        "learn.init_from": "previous",
        "learn.reference": "previous",
        "learn.data": "latest",
    }
    rounds = config.rounds or 3
    return [Phase(name="iterative", rounds=rounds, config=config.with_defaults(settings))]
