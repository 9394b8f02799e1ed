"""What a run cannot work without, checked before a model is loaded or a label is paid for."""

from collections.abc import Mapping, Sequence
from typing import Any

from prefloop import plugins
from prefloop.config import Config, ConfigError, Phase
from prefloop.runs.data import Given


def require(phases: Sequence[Phase], given: Given, parts: Mapping[str, Any]) -> None:
    """ConfigError for a phase that lacks its data or its oracle, or a part that cannot be used."""
    for phase in phases:
        _require_data(phase, given)
        _require_candidates(phase)
        _require_oracle(phase, parts)
        _require_own_parts(phase.config)
    named = [phase.config.ask.oracle for phase in phases]
    if parts.get("oracle") is not None and all(o and o.name == "recorded" for o in named):
        raise ConfigError(
            "the oracle handed over would never be asked: this recipe reads its labels from the "
            "file. Leave it out, or name another ask.oracle"
        )


def _require_data(phase: Phase, given: Given) -> None:
    each = phase.config.sample.sources.get("dataset", 0)
    name = {0: "prompts", 1: "completions"}.get(each, "preferences")
    if getattr(phase.config.data, name) is None and getattr(given, name) is None:
        raise ConfigError(f"phase {phase.name!r} needs data.{name}; give it a file")


def _require_candidates(phase: Phase) -> None:
    """Enough candidates for a question, and those that the rule compares."""
    sources, rule = phase.config.sample.sources, phase.config.explore.rule.name
    if sum(sources.values()) < 2 and "dataset" not in sources:
        raise ConfigError(
            f"phase {phase.name!r} draws one candidate a prompt, sample.sources={sources}: there "
            "must be at least 2 to compare; set sample.sources={policy: 2}"
        )
    if rule == "policy_vs_reference" and not {"policy", "reference"} <= sources.keys():
        raise ConfigError(
            f"explore.rule=policy_vs_reference compares the two, got sample.sources={sources}; set "
            "sample.sources={policy: 1, reference: 1}"
        )


def _require_oracle(phase: Phase, parts: Mapping[str, Any]) -> None:
    asks = sum(phase.config.sample.sources.values()) > 1
    if asks and phase.config.ask.oracle is None and parts.get("oracle") is None:
        raise ConfigError(
            f"phase {phase.name!r} needs ask.oracle: who says which response is better? Name "
            "one (prefloop list oracles), or your own function as module:function"
        )


def _require_own_parts(config: Config) -> None:
    """ConfigError for a module:function that cannot be loaded, before anything is paid for."""
    for _, part in config.parts():
        if ":" in part.name:
            try:
                plugins.load(part.name)
            except LookupError as error:
                raise ConfigError(str(error)) from None
