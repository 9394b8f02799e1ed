"""Offline DPO."""

from prefloop.config import Config, Phase
from prefloop.recipes._testbed import once, ready_made


def dpo(config: Config) -> list[Phase]:
    """Learn from a preference file: the loop with one round, in which nothing new is asked.

    Rafailov et al. 2023 (arXiv:2305.18290). Responses are the file's (off-policy), so the chosen
    response's own likelihood may fall; watch `logp_chosen`.
    """
    once(config)
    settings = {
        **ready_made(config),
        "sample.sources": {"dataset": 2},
        "sample.prompts": None,
        "explore.rule": {"name": "on_policy"},
        "ask.oracle": {"name": "recorded"},
        "learn.schedule": "cosine",
        "learn.warmup": 0.1,
    }
    return [Phase(name="offline", rounds=1, config=config.with_defaults(settings))]
