"""The same number of labels for every method, in rounds as large as the method makes them."""

from math import log
from typing import Any

from prefloop.config import Config, ConfigError, Phase
from prefloop.runs.open import phases_of


def rounds_for(config: Config, labels: int) -> dict[str, Any]:
    """The settings with which a run asks for `labels` in all.

    A round stays as large as the recipe, or the user, makes it, and there are as many as it takes.
    Where that does not come out even, the round's size becomes the nearest that does, unless the
    user set it; then it is a ConfigError.
    """
    phase = _asking(config)
    prompts, each = phase.config.sample.prompts, phase.config.ask.labels
    if prompts is None:
        raise ConfigError(
            f"{config.recipe} asks about all prompts at once (sample.prompts=null); set a number, "
            "so that every method spends the same labels"
        )
    size = min(each or prompts, prompts)
    rounds = config.rounds or _rounds(labels, size)
    fresh = labels // rounds
    is_set = bool(
        {"prompts"} & config.sample.model_fields_set | {"labels"} & config.ask.model_fields_set
    )
    if fresh * rounds != labels or (is_set and fresh != size):
        raise ConfigError(
            f"{labels} labels cannot be spent in rounds of {size} as {config.recipe} is set; "
            f"{max(1, labels // size) * size} can, or set another sample.prompts or rounds"
        )
    found = {"rounds": rounds, "sample.prompts": round(prompts * fresh / size)}
    return found | ({"ask.labels": fresh} if each else {})


def _asking(config: Config) -> Phase:
    """The one phase in which new labels are asked for."""
    phases = [p for p in phases_of(config) if "dataset" not in p.config.sample.sources]
    if len(phases) != 1:
        raise ConfigError(
            f"{config.recipe} has {len(phases)} phases that ask for labels; a comparison at equal "
            "labels needs exactly one. Leave it out"
        )
    return phases[0]


def _rounds(labels: int, size: int) -> int:
    """The divisor of `labels` whose rounds come nearest to `size`, in proportion."""
    divisors = [n for n in range(1, labels + 1) if labels % n == 0]
    found = min(divisors, key=lambda n: abs(log(labels / n / size)))
    if abs(log(labels / found / size)) > log(2) and labels > size:
        raise ConfigError(
            f"{labels} labels cannot be cut into equal rounds of about {size}; "
            f"{labels // size * size} can"
        )
    return found
