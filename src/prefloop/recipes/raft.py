"""Rejection-sampling fine-tuning."""

from prefloop.config import Config, Phase
from prefloop.recipes._reward import climbed, collected, given_scorer, imitation


def raft(config: Config) -> list[Phase]:
    """Sample several, imitate the best by the reward, and again from there.

    Dong et al. 2023 (arXiv:2304.06767); Llama 2's rejection sampling, expert iteration. Every
    round repeats best-of-n on what the round before made: without a pull back it collapses.
    `learn.rows=top` keeps the best share of the round instead of each prompt's best,
    `learn.replay` mixes `data.completions` in, which are then not imitated first;
    `learn.init_from=pi0` starts each round from π₀.
    """
    settings = {
        "explore.scorer": {"name": "learned"},
        "sample.sources": {"policy": 8},
        "learn.loss": {"name": "sft"},
        "learn.rows": "best",
        "learn.lr": 1e-5,
    }
    before = imitation(config) + ([] if given_scorer(config) else [collected(config)])
    return [*before, climbed(config, settings)]
