"""Settings of the user's that a run would not look at."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from prefloop.config import Config, Part, Phase, Section
from prefloop.runs.wants import needs, wants

Reader = tuple[Callable[[Phase], bool], str]


def unread(asked: Config, phases: Sequence[Phase]) -> Iterator[str]:
    """A line for every setting that no phase reads, or that none of its readers has as asked."""
    for section, field, value in _set(asked):
        name, recipe = f"{section}.{field}", asked.recipe
        reads, who = _READERS.get(name) or _READERS.get(section) or (lambda phase: True, "")
        found = [_value(phase.config, section, field) for phase in phases if reads(phase)]
        if not found:
            yield f"{name}={_words(value)} is of no use to recipe {recipe}: it is for {who}"
        elif not any(_is_kept(value, one) for one in found):
            instead = " and ".join(dict.fromkeys(map(_words, found)))
            yield f"{name}={_words(value)} gives way to recipe {recipe}, which sets {instead}"


def _set(config: Config) -> Iterator[tuple[str, str, Any]]:
    """(section, field, value) of what the user set."""
    for section in Config.model_fields:
        group = getattr(config, section)
        if isinstance(group, Section):
            for field in (f for f in type(group).model_fields if f in group.model_fields_set):
                yield section, field, getattr(group, field)


def _value(config: Config, section: str, field: str) -> Any:
    return getattr(getattr(config, section), field)


def _is_kept(asked: Any, found: Any) -> bool:
    """The same; of a part, its name where one was given, and every option that was."""
    if not (isinstance(asked, Part) and isinstance(found, Part)):
        return bool(asked == found)
    return asked.name in ("", found.name) and asked.options.items() <= found.options.items()


def _words(value: Any) -> str:
    if not isinstance(value, Part):
        return str(value)
    options = ", ".join(f"{name}={option}" for name, option in value.options.items())
    return f"{value.name}({options})" if options else value.name


def _asks(phase: Phase) -> bool:
    return phase.asks


def _climbs(phase: Phase) -> bool:
    return phase.learns == "policy" and "reward" in needs("losses", phase.config.learn.loss)


def _learns_reward(phase: Phase) -> bool:
    return phase.learns == "reward"


def _wants(*names: str) -> Callable[[Phase], bool]:
    return lambda phase: not wants(phase.config).isdisjoint(names)


def _has_views(phase: Phase) -> bool:
    return phase.learns == "reward" and phase.config.reward.views is not None


_VIEWS: Reader = (_has_views, "reward models that learn from views: set reward.views")
_CRITIC: Reader = (lambda p: "value" in needs("losses", p.config.learn.loss), "ppo's critic")
_LORA: Reader = (lambda p: p.config.model.adapter != "none", "model.adapter=lora or qlora")
_READERS: Mapping[str, Reader] = {
    "model.lora_rank": _LORA,
    "model.lora_alpha": _LORA,
    "model.lora_targets": _LORA,
    "data.preferences": (
        lambda p: p.config.sample.sources.get("dataset", 0) > 1,
        "recipes that start from a file of pairs, such as dpo and hybrid",
    ),
    "sample.hot": (lambda p: "hot" in p.config.sample.sources, "hot in sample.sources"),
    "explore.rule": (_asks, "recipes that ask"),
    "explore.prompts": (_asks, "recipes that ask"),
    "explore.features": (_wants("members", "features", "novelty", "width"), "rules that use them"),
    "explore.novelty": (_wants("novelty"), "bonuses that use it"),
    "explore.members": (_wants("members"), "rules that use them"),
    "explore.ridge": (_wants("members", "features", "width"), "rules that use features"),
    "explore.clusters": (
        lambda p: p.asks and "clusters" in needs("explore", p.config.explore.rule),
        "rules that use them",
    ),
    "ask": (_asks, "recipes that ask"),
    "learn": (lambda p: p.learns == "policy", "phases that train the policy"),
    "learn.window": (lambda p: p.config.learn.data == "window", "learn.data=window"),
    "learn.top": (lambda p: p.config.learn.rows == "top", "learn.rows=top"),
    "learn.bonus_on": (lambda p: p.config.learn.bonus is not None, "a learn.bonus"),
    "credit": (_climbs, "policy gradients, as in ppo and rloo"),
    "credit.horizon": (
        lambda p: _climbs(p) and p.config.credit.target is not None,
        "credit.target",
    ),
    "credit.lam": (
        lambda p: _climbs(p) and p.config.credit.estimator == "gae",
        "credit.estimator=gae",
    ),
    "credit.critic": _CRITIC,
    "credit.critic_lr": _CRITIC,
    "reward": (_learns_reward, "recipes that train a reward model"),
    "reward.views_weight": _VIEWS,
    "reward.views_batch": _VIEWS,
    "reward.views_lr": _VIEWS,
    "reward.retrainings": (lambda p: p.name.startswith("reward "), "rlp_uml and rlp_spg"),
}
"""section or setting → who reads it, and the same in words; what is not here, every run reads"""
