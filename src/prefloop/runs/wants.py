"""What the parts of a phase cannot do without, read from what their files declare."""

from inspect import signature
from typing import Any

from prefloop import plugins
from prefloop.config import Config, Learn, Part


def wants(config: Config) -> set[str]:
    """Which of `members`, `features`, `novelty` and `width` a phase uses."""
    parts = [
        ("explore", config.explore.rule),
        ("losses", config.learn.loss),
        ("bonuses", config.learn.bonus),
    ]
    asked = {need for kind, part in parts for need in needs(kind, part)}
    asked |= {{"disputed": "members", "unsure": "features"}.get(config.explore.prompts, "")}
    return asked & {"members", "features", "novelty", "width"}


def needs(kind: str, part: Part | None) -> tuple[str, ...]:
    """What a part's file says it cannot do without."""
    return tuple(plugins.declared(kind, part.name, "needs")) if part and part.name else ()


def features_part(config: Config) -> Part:
    """The encoder: the user's choice, the testbed's topics, or the reference's hidden states."""
    default = "lsa" if config.model.path == "testbed" else "hidden"
    return config.explore.features or Part(name=default)


def with_beta(kind: str, part: Part | None, learn: Learn) -> Any:
    """A bonus or a rule ready to use, None for none; its β is the loss's unless it was set."""
    if part is None:
        return None
    options = part.options
    takes = {} if ":" in part.name else plugins.card(kind, plugins.resolve(kind, part.name)).options
    if "beta" in takes and "beta" not in options:
        loss = signature(plugins.build("losses", learn.loss.name, {})).parameters
        known = learn.loss.options.get("beta", loss["beta"].default if "beta" in loss else None)
        options = options if known is None else options | {"beta": known}
    return plugins.build(kind, part.name, options)


def whose(learn: Learn) -> str:
    """Whose responses the bonus is on: a source's, `chosen` or `asked`; "" without a bonus."""
    if learn.bonus is None:
        return ""
    return learn.bonus_on or str(plugins.declared("bonuses", learn.bonus.name, "samples"))
