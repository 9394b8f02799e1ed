"""What a phase with a reward in it cannot work without, checked before anything is loaded."""

from collections.abc import Mapping, Sequence
from typing import Any

from prefloop import plugins
from prefloop.batches import PairLogps, PairScores, SplitScores
from prefloop.config import ConfigError, Phase
from prefloop.learn.families import family
from prefloop.learn.reward import check_heads
from prefloop.runs.wants import needs


def require_reward(phase: Phase, before: Sequence[Phase], parts: Mapping[str, Any]) -> None:
    """ConfigError where rewards are wanted and there are none, or the samples are not the law's."""
    _require_scorer(phase, before, parts)
    if phase.learns == "reward":
        _require_pairs(phase)
        check_heads(phase.config.reward, _reward_loss(phase))
        _require_views(phase)
    elif "reward" not in needs("losses", phase.config.learn.loss):
        _require_rows(phase)
    else:
        _require_law(phase)
        _require_baseline(phase)


def _require_scorer(phase: Phase, before: Sequence[Phase], parts: Mapping[str, Any]) -> None:
    """A scorer for what climbs or ranks by it, and a trained one where it is the run's own."""
    config, scorer = phase.config, phase.config.explore.scorer
    climbs = phase.learns == "policy" and "reward" in needs("losses", config.learn.loss)
    ranks = phase.learns == "policy" and config.learn.rows != "all"
    if (climbs or ranks) and scorer is None and parts.get("scorer") is None:
        who = (
            f"learn.loss={config.learn.loss.name}" if climbs else f"learn.rows={config.learn.rows}"
        )
        raise ConfigError(
            f"{who} needs a score of every sample; set explore.scorer, for example "
            "explore.scorer={name: reward_model, path: my-reward-model}"
        )
    is_there = any(p.learns == "reward" for p in before)
    if scorer is not None and scorer.name == "learned" and not is_there:
        raise ConfigError(
            f"explore.scorer=learned is the run's own reward model, but no phase before "
            f"{phase.name!r} trains one; name a recipe that does, or another scorer"
        )
    needs_it = climbs and config.credit.critic == "reward"
    if needs_it and "value" in needs("losses", config.learn.loss) and not is_there:
        raise ConfigError(
            f"credit.critic=reward starts the critic from the run's own reward model, but no phase "
            f"before {phase.name!r} trains one; set credit.critic=zero"
        )


def _require_rows(phase: Phase) -> None:
    """Answers for a loss that learns from pairs; single responses where some are picked."""
    config, learn = phase.config, phase.config.learn
    if ":" in learn.loss.name:
        return
    is_paired = family(plugins.build("losses", learn.loss.name, learn.loss.options)) is PairLogps
    if is_paired and not phase.asks:
        raise ConfigError(
            f"learn.loss={learn.loss.name} learns from answers, and phase {phase.name!r} asks "
            "nobody; leave it out, or take a recipe that asks, such as online_dpo"
        )
    if is_paired and (learn.rows != "all" or learn.replay):
        raise ConfigError(
            f"learn.rows={learn.rows} and learn.replay={learn.replay:g} are about single "
            f"responses, and learn.loss={learn.loss.name} learns from pairs; set all and 0"
        )
    if learn.bonus is not None and learn.replay:
        raise ConfigError(
            "a replayed row has no samples beside it for learn.bonus to be on; set learn.replay=0 "
            "or leave the bonus out"
        )
    if learn.rows == "best" and sum(config.sample.sources.values()) < 2:
        raise ConfigError(
            f"learn.rows=best picks one of several, got sample.sources="
            f"{dict(config.sample.sources)}; set sample.sources={{policy: 8}} or so"
        )


def _require_law(phase: Phase) -> None:
    """A policy gradient is that of the law the samples were drawn from, this round's."""
    sample, learn = phase.config.sample, phase.config.learn
    if sample.top_p != 1:
        raise ConfigError(
            f"learn.loss={learn.loss.name} needs samples of the policy's own law, got sample.top_p="
            f"{sample.top_p:g}; set it to 1 (a temperature is part of the law and may stay)"
        )
    if set(sample.sources) != {"policy"}:
        raise ConfigError(
            f"learn.loss={learn.loss.name} learns from the policy's own samples alone, got "
            f"sample.sources={sample.sources}; set sample.sources={{policy: 1}}"
        )
    if learn.bonus is not None:
        raise ConfigError(
            f"learn.loss={learn.loss.name} takes no bonus, got learn.bonus={learn.bonus.name}; "
            "leave it out, or put what it is for into the reward"
        )
    if learn.reference != "pi0":
        raise ConfigError(
            f"learn.loss={learn.loss.name} is held to π₀, got learn.reference={learn.reference}; "
            "set pi0"
        )
    if learn.init_from != "previous":
        raise ConfigError(
            f"learn.loss={learn.loss.name} goes on from the policy that drew the samples, got "
            f"learn.init_from={learn.init_from}; set previous"
        )
    if learn.data != "latest" or learn.rows != "all" or learn.replay:
        raise ConfigError(
            f"learn.loss={learn.loss.name} learns from all of a round's own samples, got "
            f"learn.data={learn.data}, learn.rows={learn.rows}, learn.replay={learn.replay:g}; set "
            "latest, all and 0"
        )


def _require_baseline(phase: Phase) -> None:
    """Values where advantages come from values; others where they come from others."""
    loss, credit = phase.config.learn.loss, phase.config.credit
    has_critic = "value" in needs("losses", loss)
    if has_critic != (credit.estimator == "gae"):
        remedy = "gae" if has_critic else "leave_one_out, mean or none"
        raise ConfigError(
            f"learn.loss={loss.name} {'has a' if has_critic else 'has no'} critic, got "
            f"credit.estimator={credit.estimator}; set {remedy}"
        )
    if credit.target is not None and not credit.beta:
        raise ConfigError(
            f"credit.target={credit.target:g} steers credit.beta by factors, which 0 has none of; "
            "set credit.beta above 0"
        )
    each = phase.config.sample.sources["policy"]
    if credit.estimator == "leave_one_out" and each < 2:
        raise ConfigError(
            f"credit.estimator=leave_one_out compares a sample with the prompt's others, got "
            f"sample.sources={{policy: {each}}}; set at least 2"
        )


def _require_pairs(phase: Phase) -> None:
    """A loss on what an oracle answers: which of two, and no more."""
    part = phase.config.reward.loss
    is_paired = family(_reward_loss(phase)) in (PairScores, SplitScores)
    if not is_paired or "strength" in needs("losses/reward", part):
        what = "how much better one is" if is_paired else "ranked lists or ratings"
        raise ConfigError(
            f"reward.loss={part.name} learns from {what}, which an oracle's answers do not say; "
            "set reward.loss=bradley_terry, or train on a file with `prefloop reward train`"
        )


def _reward_loss(phase: Phase) -> Any:
    part = phase.config.reward.loss
    return plugins.build("losses/reward", part.name, part.options)


def _require_views(phase: Phase) -> None:
    """Two samples of every prompt, where the reward model learns from views."""
    each = phase.config.sample.sources.get("policy", 0)
    if phase.config.reward.views is not None and each < 2:
        raise ConfigError(
            f"reward.views={phase.config.reward.views.name} compares two of the policy's samples "
            f"of a prompt, got sample.sources={dict(phase.config.sample.sources)}; set "
            "sample.sources={policy: 2} or more"
        )
