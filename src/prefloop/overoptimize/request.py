"""What is optimised, against what, how far: as it was asked for."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from prefloop.compare.methods import Method, as_folder, read_methods
from prefloop.config import Config, ConfigError, Part, parse
from prefloop.recipes._testbed import SETTINGS
from prefloop.runs.generating import read_part

DEFAULTS = {
    "model.path": "testbed",
    "model.threads": 1,
    "sample.top_p": 1.0,
    "sample.max_new_tokens": SETTINGS["sample.max_new_tokens"],
}
"""one law for all, without truncation: KL is then that of what is measured"""
EMBEDDED: dict[str, Any] = {
    "data.prompts": "testbed",
    "measure.gold": {"name": "sentiment"},
}
"""what only the embedded model has"""


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A reward that is optimised in place of the true one."""

    name: str
    kind: Literal["given", "classifier", "reward"] = "given"
    labels: int = 0
    """comparisons it is trained on; 0: it is there already"""
    depth: int | None = None
    """layers of a reward model's backbone; None: all of the policy's"""
    part: Part | None = None
    """the scorer that is there already"""

    @property
    def folder(self) -> str:
        """Where what belongs to it lies."""
        return as_folder(self.name)


def read_proxy(text: str) -> Proxy:
    """`classifier@256`, `reward@256`, `reward/1@256` (one layer), or a scorer that is there."""
    found = re.fullmatch(r"(classifier|reward)(?:/(\d+))?@(\d+)", text)
    if not found:
        if "@" in text:
            raise ConfigError(
                f"a proxy to be trained looks like classifier@256 or reward/1@256, got {text!r}"
            )
        return Proxy(name=text, part=read_part(text))
    kind, depth, labels = found.groups()
    if int(labels) < 2 or (depth is not None and (kind == "classifier" or int(depth) < 1)):
        raise ConfigError(
            f"{text!r} must have at least 2 labels, and layers only if it is a reward model"
        )
    chosen: Literal["classifier", "reward"] = "reward" if kind == "reward" else "classifier"
    return Proxy(name=text, kind=chosen, labels=int(labels), depth=int(depth) if depth else None)


def read_proxies(text: str) -> tuple[Proxy, ...]:
    """Several, with commas; one inside braces belongs to its option."""
    found = tuple(read_proxy(one.strip()) for one in re.split(r",(?![^{[]*[}\]])", text))
    names = [proxy.name for proxy in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"proxies are told apart by their names, got {twice!r} twice")
    return found


@dataclass(frozen=True, kw_only=True)
class Request:
    """Everything that decides the numbers, the random seeds included."""

    proxies: Sequence[Proxy]
    policies: Sequence[Method] = ()
    samples: int = 256
    """of π₀ for each prompt: best of n is estimated for n up to as many"""
    prompts: int = 100
    seeds: int = 3
    """proxies and policies of each kind; each proxy is trained on comparisons of its own"""
    threshold: float = 0.75
    """a proxy that is right this often about a policy's own pairs is called accurate"""
    settings: Mapping[str, Any]
    """dotted, of the model, the data, gold and the policies' runs"""

    def __post_init__(self) -> None:
        for name, least in (("samples", 4), ("prompts", 2), ("seeds", 1)):
            if (value := getattr(self, name)) < least:
                raise ConfigError(f"{name} must be at least {least}, got {value}")
        if not 0.5 < self.threshold < 1:
            raise ConfigError(f"threshold must lie between 0.5 and 1, got {self.threshold}")
        for fixed in ("seed", "explore.scorer", "recipe"):
            if fixed in self.settings:
                raise ConfigError(
                    f"{fixed} is not a setting here; see --seeds, --proxies, --policies"
                )
        if self.base.measure.gold is None:
            raise ConfigError("the true reward must be known; set measure.gold to a scorer")
        if self.base.data.prompts is None:
            raise ConfigError("there is nothing to answer; set data.prompts to a file of prompts")

    @property
    def base(self) -> Config:
        """The settings that all stages share."""
        chosen = {**DEFAULTS, **self.settings}
        embedded = EMBEDDED if chosen["model.path"] == "testbed" else {}
        return parse({}).override({**embedded, **chosen})

    @property
    def counts(self) -> tuple[int, ...]:
        """1, 2, 4, … and the number of samples."""
        powers = [2**k for k in range(self.samples.bit_length())]
        return tuple(sorted({*powers, self.samples}))


def read_policies(text: str) -> tuple[Method, ...]:
    """Recipes with settings of their own, as `prefloop compare` takes them; "" for none."""
    return read_methods(text) if text else ()
