"""Supervised fine-tuning."""

from prefloop.config import Config, Phase
from prefloop.recipes._testbed import once, ready_made


def sft(config: Config) -> list[Phase]:
    """Imitate given responses: what a base model needs before any preference method.

    Minimises the token-mean negative log-likelihood of `data.completions`; nothing is sampled or
    asked. Ouyang et al. 2022, §3.5 (arXiv:2203.02155).
    """
    once(config)
    settings = {
        **ready_made(config),
        "sample.sources": {"dataset": 1},
        "sample.prompts": None,
        "learn.loss": {"name": "sft"},
        "learn.lr": 2e-5,
        "learn.schedule": "cosine",
        "learn.warmup": 0.03,
    }
    return [Phase(name="sft", rounds=1, config=config.with_defaults(settings), asks=False)]
