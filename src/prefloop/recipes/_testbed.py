"""What every recipe does on the embedded testbed, where the user says nothing else."""

from typing import Any

from prefloop.config import Config, ConfigError

SETTINGS: dict[str, Any] = {
    "data.prompts": "testbed",
    "sample.sources": {"policy": 4},
    "sample.top_p": 0.95,
    "sample.max_new_tokens": 48,
    "explore.rule": {"name": "best_worst"},
    "explore.scorer": {"name": "proxy"},
    "ask.oracle": {"name": "bradley_terry", "scorer": "sentiment", "scale": 2.0},
    "learn.loss": {"name": "dpo", "beta": 0.2},
    "learn.lr": 1.05e-4,
    "learn.epochs": 2,
    "measure.gold": {"name": "sentiment"},
    "measure.judges": [{"name": "vader"}],
}


def testbed(config: Config) -> dict[str, Any]:
    """Online defaults for the embedded model; nothing for the user's own."""
    return dict(SETTINGS) if config.model.path == "testbed" else {}


def once(config: Config) -> None:
    """ConfigError where rounds are asked of a recipe that has one."""
    if config.rounds not in (None, 1):
        raise ConfigError(
            f"{config.recipe} learns in one round, got rounds={config.rounds}; go over the file "
            "more often with learn.epochs"
        )


def ready_made(config: Config) -> dict[str, Any]:
    """The testbed's measures alone, for a phase that learns from a file."""
    kept = ("sample.top_p", "sample.max_new_tokens", "measure.gold", "measure.judges")
    return {key: value for key, value in testbed(config).items() if key in kept}
