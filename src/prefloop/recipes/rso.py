"""Statistical rejection sampling optimisation."""

from dataclasses import replace

from prefloop.config import Config, Phase
from prefloop.recipes._reward import climbed, collected, given_scorer, imitation

RULE = "rso"


def rso(config: Config) -> list[Phase]:
    """Of π₀'s samples the pairs that the best policy might have drawn, labelled by the reward.

    Liu et al. 2024 (arXiv:2309.06657): a reward model learned from answers about π₀ accepts
    samples on the way to π₀ · exp(r/β), and says which of two is better; DPO learns from that, or
    with `learn.loss=hinge` the paper's hinge-norm. The rule's β is the loss's, unless it is set.
    """
    chosen = config.explore.rule
    settings = {
        "sample.sources": {"reference": 8},
        "explore.scorer": {"name": "learned"},
        "learn.loss": {"name": "dpo"},
    }
    own = {
        "explore.rule": chosen if chosen.name == RULE else {"name": RULE},
        "ask.oracle": {"name": "asserted"},
    }
    before = imitation(config) + ([] if given_scorer(config) else [collected(config)])
    return [*before, replace(climbed(config.override(own), settings), asks=True)]
