"""What gate is to be trained, of which attributes, on what: checked before anything is loaded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field, ValidationError

from prefloop.config import Config, ConfigError, Section

SETTINGS = (
    *("seed", "data.limit", "data.overflow"),
    *("model.device", "model.max_tokens", "model.threads"),
)


class Gating(Section):
    """The gate and its optimizer. The paper has hidden=1024 layers=3, on an 8B model's states."""

    steps: int = Field(2000, ge=1)
    batch: int = Field(1024, ge=1)
    """pairs an optimizer step"""
    lr: float = Field(1e-3, gt=0)
    """AdamW's learning rate; it falls to zero as a cosine"""
    hidden: int = Field(64, ge=1)
    """units of a hidden layer"""
    layers: int = Field(2, ge=0)
    """hidden layers"""
    temperature: float = Field(10.0, gt=0)
    """T of the softmax: the larger, the longer the weights stay alike"""
    holdout: float = Field(0.1, ge=0, lt=1)
    """share of the prompts whose pairs measure it instead"""
    watch: float = Field(0.2, ge=0, lt=1)
    """share of the others by whose likelihood the best step is kept; 0 keeps the last"""


@dataclass(frozen=True, kw_only=True)
class GateRequest:
    """A gate to be trained."""

    attributes: str
    """the folder of a reward model with several heads"""
    source: str
    """a preference file, or a run folder whose answers are learned from"""
    verbosity: int | None = None
    """which of the heads says how long-winded a response is, counted from 0"""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """`gate.*` and SETTINGS"""

    def __post_init__(self) -> None:
        known = (*(f"gate.{name}" for name in Gating.model_fields), *SETTINGS)
        for name in self.settings:
            if name not in known:
                raise ConfigError(f"{name} has no part in this; settings are {', '.join(known)}")

    @property
    def gating(self) -> Gating:
        """The gate's own settings; ConfigError where a value cannot be."""
        said = {k.removeprefix("gate."): v for k, v in self.settings.items() if k[:5] == "gate."}
        try:
            return Gating(**said)
        except ValidationError as error:
            first = error.errors()[0]
            where, got = first["loc"][0], first["input"]
            raise ConfigError(f"gate.{where}: {first['msg']}, got {got!r}") from None

    @property
    def config(self) -> Config:
        """All others."""
        return Config().override({k: v for k, v in self.settings.items() if k[:5] != "gate."})
