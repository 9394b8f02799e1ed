"""The settings that are tried for a method before its reported runs: as many for each method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from prefloop import plugins
from prefloop.config import Config, ConfigError, Part, assignments
from prefloop.runs.open import phases_of

STRENGTH = "learn.bonus.alpha"
OWN = "own"
"""the name of the point at which a method's own settings stay as they are"""
Points = dict[str, dict[str, Any]]
"""name → dotted settings"""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A setting and the values it is tried at."""

    key: str
    values: tuple[Any, ...]
    """`0.5x` is half of what the method itself uses"""


AROUND = (Axis(key="learn.lr", values=("0.5x", "2x")),)
WITH_BONUS = (*AROUND, Axis(key=STRENGTH, values=("0.1x", "10x")))
WITHOUT = (*AROUND, Axis(key="learn.lr", values=("0.7x", "1.4x")))


def read_axis(text: str) -> Axis:
    """`learn.lr=0.5x,1x,2x`: times the method's own value; without the x, the value itself."""
    key, equals, values = text.partition("=")
    if not equals or not values:
        raise ConfigError(f"a grid looks like learn.lr=0.5x,1x,2x, got {text!r}")
    return Axis(key=key, values=tuple(values.split(",")))


def around(config: Config) -> Points:
    """The default grid: the method's own settings, and four with one of them changed.

    The learning rate halved and doubled, and the bonus a tenth and ten times as strong; a method
    without a bonus has two more learning rates between.
    """
    has_bonus = phases_of(config)[-1].config.learn.bonus is not None
    axes = WITH_BONUS if has_bonus else WITHOUT
    found: Points = {OWN: {}}
    for axis in axes:
        for value in axis.values:
            found |= _named({axis.key: _value(config, axis.key, value)})
    return found


def crossed(config: Config, axes: Sequence[Axis]) -> Points:
    """Every combination of the axes' values."""
    found: Points = {}
    for values in product(*(axis.values for axis in axes)):
        keys = [axis.key for axis in axes]
        found |= _named({k: _value(config, k, v) for k, v in zip(keys, values, strict=True)})
    return found


def _named(settings: Mapping[str, Any]) -> Points:
    return {",".join(f"{key}={value}" for key, value in settings.items()): dict(settings)}


def _value(config: Config, key: str, text: str) -> Any:
    if not text.endswith("x"):
        return assignments([f"{key}={text}"])[key]
    own = _own(config, key)
    if isinstance(own, bool) or not isinstance(own, int | float):
        raise ConfigError(
            f"{text} of {key} needs a number to multiply, and {config.recipe} has {own!r} there; "
            "write the value itself"
        )
    return float(f"{float(text[:-1]) * own:.6g}")


def _own(config: Config, key: str) -> Any:
    """What the method's last phase has there; for a part's option, the part's default."""
    found: Any = phases_of(config)[-1].config
    kind = {"learn.loss": "losses", "learn.bonus": "bonuses", "explore.rule": "explore"}
    *path, last = key.split(".")
    for step in path:
        found = getattr(found, step, None)
    if isinstance(found, Part) and last not in found.options:
        card = plugins.card(kind[".".join(path)], plugins.resolve(kind[".".join(path)], found.name))
        return assignments([f"own={card.options.get(last, 'null')}"])["own"]
    return found.options[last] if isinstance(found, Part) else getattr(found, last, None)
