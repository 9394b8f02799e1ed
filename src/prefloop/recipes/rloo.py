"""REINFORCE leave-one-out."""

from prefloop.config import Config, Phase
from prefloop.recipes._reward import climbed, collected, given_scorer, imitation


def rloo(config: Config) -> list[Phase]:
    """A reward model learned once, then climbed without a critic: a sample against its siblings.

    Ahmadian et al. 2024 (arXiv:2402.14740). `learn.loss=reinforce credit.estimator=mean` compares
    with the round's mean instead. With `explore.scorer` set, nobody is asked.
    """
    settings = {
        "explore.scorer": {"name": "learned"},
        "sample.sources": {"policy": 4},
        "learn.loss": {"name": "rloo"},
        "learn.lr": 1e-5,
        "credit.estimator": "leave_one_out",
        "credit.whiten": False,
    }
    before = imitation(config) + ([] if given_scorer(config) else [collected(config)])
    return [*before, climbed(config, settings)]
