"""What a run cannot work without, checked before a model is loaded or a label is paid for."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from prefloop import plugins
from prefloop.config import Config, ConfigError, Phase
from prefloop.runs.data import Given
from prefloop.runs.require_reward import require_reward
from prefloop.runs.wants import needs, wants, whose
from prefloop.types import Source


def require(phases: Sequence[Phase], given: Given, parts: Mapping[str, Any]) -> None:
    """ConfigError for a phase that lacks its data or its oracle, or a part that cannot be used."""
    for place, phase in enumerate(phases):
        _require_data(phase, given)
        _require_candidates(phase)
        _require_knowledge(phase, parts)
        _require_law(phase)
        _require_oracle(phase, parts)
        _require_own_parts(phase.config)
        _require_measures(phase.config)
        require_reward(phase, phases[:place], parts)
    _require_use(phases, given, parts)
    named = [phase.config.ask.oracle for phase in phases]
    if parts.get("oracle") is not None and all(o and o.name == "recorded" for o in named):
        raise ConfigError(
            "the oracle handed over would never be asked: this recipe reads its labels from the "
            "file. Leave it out, or name another ask.oracle"
        )


def _require_use(phases: Sequence[Phase], given: Given, parts: Mapping[str, Any]) -> None:
    """What was handed over from Python is used by some phase."""
    scorers = [phase.config.explore.scorer for phase in phases if phase.learns == "policy"]
    if parts.get("scorer") is not None and all(s and s.name == "learned" for s in scorers):
        raise ConfigError(
            "the scorer handed over would never be climbed: this recipe learns a reward of its "
            "own. Leave it out, or name it in the config: explore.scorer=my_module:score"
        )
    reads = [p.config.sample.sources.get("dataset") == 1 or p.config.learn.replay for p in phases]
    if given.completions is not None and not any(reads):
        raise ConfigError(
            "no phase of this recipe reads the completions handed over; name them as a file, "
            "data.completions, for a recipe that imitates first"
        )


def _require_data(phase: Phase, given: Given) -> None:
    each = phase.config.sample.sources.get("dataset", 0)
    name = {0: "prompts", 1: "completions"}.get(each, "preferences")
    wanted = [name] + (["completions"] if phase.config.learn.replay else [])
    for name in wanted:
        if getattr(phase.config.data, name) is None and getattr(given, name) is None:
            raise ConfigError(f"phase {phase.name!r} needs data.{name}; give it a file")


def _require_candidates(phase: Phase) -> None:
    """Enough candidates for a question, and those that rule and bonus are about."""
    config, sources = phase.config, phase.config.sample.sources
    rule, on = config.explore.rule.name, whose(config.learn)
    if phase.asks and sum(sources.values()) < 2 and "dataset" not in sources:
        raise ConfigError(
            f"phase {phase.name!r} draws one candidate a prompt, sample.sources={sources}: there "
            "must be at least 2 to compare; set sample.sources={policy: 2}"
        )
    compared = [n for n in needs("explore", config.explore.rule) if n in get_args(Source)]
    if {"policy", *compared} - sources.keys() and compared:
        raise ConfigError(
            f"explore.rule={rule} compares the two, got sample.sources={sources}; set "
            f"sample.sources={{policy: 1, {compared[0]}: 1}}"
        )
    if on not in ("", "chosen", "asked", *sources):
        raise ConfigError(
            f"learn.bonus={config.learn.bonus and config.learn.bonus.name} is on the {on}'s "
            f"responses, got sample.sources={sources}; add {on}: 1 to them, or set learn.bonus_on"
        )
    if "previous" in sources and config.checkpoint.keep < 2:
        raise ConfigError(
            "sample.sources has the previous policy, which checkpoint.keep=1 would have deleted; "
            "set checkpoint.keep=2"
        )


def _require_knowledge(phase: Phase, parts: Mapping[str, Any]) -> None:
    """What the parts need to know is supplied, and nothing is set that nobody would use."""
    config = phase.config
    wanted = wants(config)
    if "novelty" in wanted and config.explore.novelty is None:
        raise ConfigError(
            f"learn.bonus={config.learn.bonus and config.learn.bonus.name} needs to know how new "
            "a response is; set explore.novelty, for example explore.novelty=elliptical"
        )
    counts = "clusters" in needs("explore", config.explore.rule)
    if counts and config.explore.clusters is None:
        raise ConfigError(
            f"explore.rule={config.explore.rule.name} counts which candidates say the same; set "
            "explore.clusters, for example explore.clusters=cosine"
        )
    for name, is_used in (
        *(("novelty", "novelty" in wanted), ("features", bool(wanted))),
        ("clusters", counts),
    ):
        if getattr(config.explore, name) is not None and not is_used:
            raise ConfigError(
                f"explore.{name} is set, but no rule, loss or bonus of phase {phase.name!r} uses "
                f"it; leave it out"
            )
    if config.explore.prompts != "any" and not (config.ask.labels or 0) > 0:
        raise ConfigError(
            f"explore.prompts={config.explore.prompts} chooses prompts where labels are fewer; "
            "set ask.labels below sample.prompts"
        )
    scored = config.explore.scorer is not None or parts.get("scorer") is not None
    if "win" in needs("losses", config.learn.loss) and not scored:
        raise ConfigError(
            f"learn.loss={config.learn.loss.name} regresses onto win rates, which need a score of "
            "every candidate; set explore.scorer"
        )


def _require_law(phase: Phase) -> None:
    """A score-function gradient is that of the law the samples were drawn from."""
    sample, learn = phase.config.sample, phase.config.learn
    if "on_policy" in needs("losses", learn.loss) and "policy" in sample.sources:
        if (sample.temperature, sample.top_p) != (1.0, 1.0):
            raise ConfigError(
                f"learn.loss={learn.loss.name} differentiates the law of the samples, which must "
                f"be the policy's own: got sample.temperature={sample.temperature:g}, "
                f"sample.top_p={sample.top_p:g}; set both to 1"
            )
        if learn.data != "latest" or learn.epochs != 1:
            raise ConfigError(
                f"learn.loss={learn.loss.name} needs fresh samples at every step, got learn.data="
                f"{learn.data}, learn.epochs={learn.epochs}; set latest and 1"
            )
        if sample.prompts is None or sample.prompts > learn.batch:
            raise ConfigError(
                f"learn.loss={learn.loss.name} needs rounds of one step, got sample.prompts="
                f"{sample.prompts}, learn.batch={learn.batch}; make them equal"
            )


def _require_oracle(phase: Phase, parts: Mapping[str, Any]) -> None:
    asks = phase.asks and sum(phase.config.sample.sources.values()) > 1
    if asks and phase.config.ask.oracle is None and parts.get("oracle") is None:
        raise ConfigError(
            f"phase {phase.name!r} needs ask.oracle: who says which response is better? Name "
            "one (prefloop list oracles), or your own function as module:function"
        )


def _require_measures(config: Config) -> None:
    """What measures is nothing that the run trains or is told."""
    judges = [("judges", part) for part in config.measure.judges]
    for name, part in [("gold", config.measure.gold), *judges]:
        if part and part.name in ("learned", "asserted", "recorded"):
            raise ConfigError(
                f"measure.{name}={part.name} is the run's own and no measure of it; name a scorer "
                "that nothing learns from, such as vader, or leave it out"
            )


def _require_own_parts(config: Config) -> None:
    """ConfigError for a module:function that cannot be loaded, before anything is paid for."""
    for _, part in config.parts():
        if ":" in part.name:
            try:
                plugins.load(part.name)
            except LookupError as error:
                raise ConfigError(str(error)) from None
