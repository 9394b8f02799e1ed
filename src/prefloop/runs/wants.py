"""What the parts of a phase cannot do without, read from what their files declare."""

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


def whose(learn: Learn) -> str:
    """Whose responses the bonus is on: a source's, `chosen` or `asked`; "" without a bonus."""
    if learn.bonus is None:
        return ""
    return learn.bonus_on or str(plugins.declared("bonuses", learn.bonus.name, "samples"))
