"""SAIL with the policy's samples and the policy's labels, beside a preference file."""

from prefloop.config import Config, Phase
from prefloop.recipes._sail import ONE_STEP


def sail_pp(config: Config) -> list[Phase]:
    """A file's labelled pairs, and for a share of its prompts the policy's own, which it labels.

    Ding et al. 2024 (arXiv:2406.15567), code name DPP: nobody is asked anything. Own labels alone
    only sharpen what the policy believes; the file's pairs hold it.
    """
    settings = {
        **ONE_STEP,
        "sample.sources": {"dataset": 2, "policy": 2},
        "explore.rule": {"name": "file_or_policy", "share": 0.3},
        "ask.oracle": {"name": "unasked", "inner": "recorded"},
        "learn.loss": {"name": "sail", "own_online": 1.0, "pi": 0.2},
    }
    rounds = config.rounds or 48
    return [Phase(name="mixed", rounds=rounds, config=config.with_defaults(settings))]
