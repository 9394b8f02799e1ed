"""The same number of labels for every method, in rounds as large as the method makes them."""

from math import log
from typing import Any

from prefloop.config import Config, ConfigError, Phase
from prefloop.runs.open import phases_of


def rounds_for(config: Config, labels: int) -> dict[str, Any]:
    """The settings with which a run asks for `labels` in all.

    A round stays as large as the recipe, or the user, makes it, and there are as many as it takes.
    Where that does not come out even, the round's size becomes the nearest that does, unless the
    user set it; then it is a ConfigError. A recipe that learns a reward model spends them on that.
    """
    phase = _asking(config)
    if phase.learns == "reward":  # all at once, before the policy moves
        return {"ask.labels": labels}
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
    phases = [phase for phase in phases_of(config) if _buys_labels(phase)]
    if len(phases) != 1:
        raise ConfigError(
            f"{config.recipe} has {len(phases)} phases that ask for labels; a comparison at equal "
            "labels needs exactly one. Leave it out"
        )
    return phases[0]


def _buys_labels(phase: Phase) -> bool:
    """Does it ask, and not read its answers from a file or give them itself?"""
    oracle = phase.config.ask.oracle
    own = oracle is not None and oracle.name == "asserted"
    return phase.asks and not own and "dataset" not in phase.config.sample.sources


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
