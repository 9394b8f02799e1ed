"""What is compared: recipes, and rules of pair choice as online DPO with another rule."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from prefloop import plugins
from prefloop.config import ConfigError, assignments

HOST = "online_dpo"
"""the recipe in which an exploration rule is compared"""
PROPOSERS = ("reference", "hot", "previous")
"""sources that a rule may need; it then looks at one candidate of each side, and gets one"""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A row of the comparison: its name, and the settings that make it what it is."""

    name: str
    settings: Mapping[str, Any]
    """dotted, the recipe among them"""

    @property
    def folder(self) -> str:
        """Where its runs lie."""
        return as_folder(self.name)


def read_methods(text: str) -> tuple[Method, ...]:
    """`online_dpo,best_random,xpo:learn.bonus.alpha=1e-4`, in this order.

    A comma or colon inside braces or brackets belongs to the value.
    """
    methods = tuple(read_method(spec.strip()) for spec in re.split(r",(?![^{[]*[}\]])", text))
    names = [method.name for method in methods]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"methods are told apart by their names, got {twice!r} twice")
    return methods


def read_method(spec: str) -> Method:
    """`NAME` or `NAME:KEY=VALUE:KEY=VALUE`; NAME is a recipe or an exploration rule."""
    name, *own = re.split(r":(?=[a-z_]+(?:\.\w+)*=)", spec)
    recipes, rules = plugins.names("recipes"), plugins.names("explore")
    if name in recipes:
        settings: dict[str, Any] = {"recipe": name}
    elif name in rules:
        settings = {"recipe": HOST, "explore.rule": {"name": name}} | _sources(name)
    else:
        near = get_close_matches(name, [*recipes, *rules], n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(
            f"there is no method {name!r}; {hint}A method is a recipe ({', '.join(recipes)}) or an "
            f"exploration rule ({', '.join(rules)})"
        )
    return Method(name=spec, settings=settings | assignments(own))


def _sources(rule: str) -> dict[str, Any]:
    """Candidates from whomever the rule compares the policy with; else the recipe's."""
    others = [source for source in plugins.card("explore", rule).needs if source in PROPOSERS]
    return {"sample.sources": dict.fromkeys(["policy", *others], 1)} if others else {}


def as_folder(name: str) -> str:
    """The name with nothing in it that a file system or a shell would trip over."""
    return re.sub(r"[^\w.=,+-]+", "-", name).strip("-")
