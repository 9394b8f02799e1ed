"""What is to be trained, on what, checked before anything is loaded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefloop import plugins
from prefloop.config import Config, ConfigError

SETTINGS = ("seed", "model", "reward", "data.limit", "data.overflow")
KINDS = ("scores", "pair")
RUNS_ONLY = (
    *("views", "views_weight", "views_batch", "views_lr", "language"),
    *("init_from", "data", "retrainings"),
)
PAIR_IGNORES = ("loss", "heads", "anchor", "aggregate")
ON_FEATURES = ("loss", "heads", "holdout")
"""all of reward.* that a head on features reads"""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A reward model to be trained."""

    source: str
    """a preference file, or a run folder whose answers are learned from"""
    backbone: str = "testbed"
    """a causal model's folder or hub id, `testbed`, or a part of features/ to put a head on"""
    kind: str = "scores"
    """scores: of one response; pair: a model that reads two and says which is better"""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """`reward.*`, `model.*`, `seed`, `data.limit` and `data.overflow`"""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"kind must be {' or '.join(KINDS)}, got {self.kind!r}")
        for name in self.settings:
            section, _, key = name.partition(".")
            if name not in SETTINGS and section not in SETTINGS:
                raise ConfigError(f"{name} has no part in this; settings are {', '.join(SETTINGS)}")
            ignored = RUNS_ONLY + (PAIR_IGNORES if self.kind == "pair" else ())
            if section == "reward" and key.partition(".")[0] in ignored:
                raise ConfigError(f"{name} has no part in this kind of training; leave it out")
            if name in ("model.path", "reward.path"):
                raise ConfigError(f"the backbone is named by --backbone, not by {name}")
        if self.kind == "pair" and self.is_on_features:
            raise ConfigError(
                f"{self.backbone} gives features of one response, and a pair model reads two; "
                "give a causal language model as --backbone"
            )
        if self.is_on_features:
            self._check_features()

    @property
    def is_on_features(self) -> bool:
        """Is the backbone a part of features/ rather than a model to be trained?"""
        named = self.backbone in plugins.names("features")
        return named and not Path(self.backbone).exists()

    @property
    def is_of_attributes(self) -> bool:
        """Is it heads on features that learn from ratings, an attribute each?"""
        return self.is_on_features and self.config.reward.loss.name == "regression"

    @property
    def config(self) -> Config:
        """The settings, over what suits a single file: HH's dialogues are often too long."""
        return Config().override({"model.path": self.backbone, **self.settings})

    def _check_features(self) -> None:
        for name in self.settings:
            section, _, key = name.partition(".")
            if section == "reward" and key.partition(".")[0] not in ON_FEATURES:
                raise ConfigError(
                    f"{name} has no part in a head on features, which is solved for; leave it out, "
                    "or give a causal language model as --backbone"
                )
        reward = self.config.reward
        if reward.loss.options or reward.loss.name not in ("bradley_terry", "regression"):
            raise ConfigError(
                "a head on features learns by reward.loss=bradley_terry from preferences or by "
                f"regression from ratings, without options, got {reward.loss.name} with "
                f"{reward.loss.options or 'none'}; give a causal language model as --backbone"
            )
        if reward.heads > 1 and not self.is_of_attributes:
            raise ConfigError(
                f"several heads on features are attributes, got reward.heads={reward.heads} for "
                "preferences; set reward.loss=regression, or reward.heads=1"
            )
