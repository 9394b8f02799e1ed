"""The phases that recipes with a reward model are made of."""

from dataclasses import replace
from typing import Any

from prefloop.config import Config, Phase
from prefloop.recipes._testbed import testbed
from prefloop.recipes.sft import sft

LABELS = 1536
"""answers the first reward model learns from, unless `ask.labels` says otherwise"""
_KEPT = ("data.", "measure.", "ask.oracle", "sample.max_new_tokens")
_IMITATION: dict[str, Any] = {
    "rounds": None,
    "sample.sources": {"dataset": 1},
    "sample.prompts": None,
    "explore.rule": {"name": "on_policy"},
    "explore.scorer": None,
    "explore.clusters": None,
    "ask.labels": None,
    "learn.loss": {"name": "sft"},
    "learn.bonus": None,
    "learn.bonus_on": None,
    "learn.rows": "all",
    "learn.replay": 0.0,
    "learn.data": "latest",
    "learn.init_from": "previous",
    "learn.reference": "pi0",
}
_SMALL = {
    "sample.top_p": 1.0,
    "sample.prompts": 256,
    "learn.lr": 3e-4,
    "learn.epochs": 2,
    "learn.batch": 64,
    "credit.beta": 0.05,
    "reward.lr": 3e-4,
    "reward.epochs": 3,
    "reward.weight_decay": 0.1,
}
"""on the embedded model: policy gradients need its own law, and small models take large steps"""


def embedded(config: Config) -> dict[str, Any]:
    """Defaults for the embedded model; nothing for the user's own."""
    found = testbed(config)
    return {k: v for k, v in found.items() if k.startswith(_KEPT)} | (_SMALL if found else {})


def imitation(config: Config) -> list[Phase]:
    """Supervised fine-tuning first, where there is a file for it; its policy is then π₀.

    Rate, epochs and batch are those of `learn`, for this phase as for the policy's; nothing else of
    the policy's later training is. With `learn.replay` the file is what is replayed, and π₀ is the
    model as it was given.
    """
    if config.data.completions is None or config.learn.replay:
        return []
    return [replace(p, anchors=True) for p in sft(config.override(_IMITATION))]


def collected(config: Config) -> Phase:
    """Pairs of π₀'s samples to the oracle, and a reward model trained on its answers."""
    settings = {
        "sample.sources": {"policy": 2},
        "sample.prompts": config.ask.labels or LABELS,
        "explore.rule": {"name": "on_policy"},
        "explore.scorer": None,
        "learn.bonus": None,
        "reward.views": None,
    }
    asked = config.with_defaults(embedded(config)).override(settings)
    return Phase(name="reward", rounds=1, config=asked, learns="reward")


def climbed(config: Config, settings: dict[str, Any], *, name: str = "policy") -> Phase:
    """The policy climbs a reward on its own samples, from π₀ on; nobody is asked."""
    defaults = {"sample.sources": {"policy": 1}, **settings, **embedded(config)}
    chosen = config.with_defaults(defaults).override({"ask.labels": None})
    rounds = config.rounds or 12
    return Phase(name=name, rounds=rounds, config=chosen, asks=False, begins="pi0")


def given_scorer(config: Config) -> bool:
    """Is there a reward already, so that none has to be learned?"""
    return config.explore.scorer is not None and config.explore.scorer.name != "learned"
