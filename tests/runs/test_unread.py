"""Settings that a run would not look at are named before it starts."""

from pathlib import Path
from typing import Any

import pytest

import small
from prefloop.config import Part, parse
from prefloop.runs.forecast import forecast
from prefloop.runs.open import phases_of
from prefloop.runs.unread import _READERS, _is_kept, unread

LORA: dict[str, Any] = {"model.adapter": "lora"}
VIEWS: dict[str, Any] = {"recipe": "rlp_uml"}
CLUSTERS = {"explore.rule": "largest_cluster", "sample.sources": {"policy": 4}}
READ: dict[str, tuple[Any, dict[str, Any]]] = {
    "model.lora_rank": (8, LORA),
    "model.lora_alpha": (8.0, LORA),
    "model.lora_targets": ("q_proj", LORA),
    "data.preferences": ("pairs.jsonl", {"recipe": "dpo"}),
    "sample.hot": (2.0, {"sample.sources": {"policy": 1, "hot": 1}}),
    "explore.rule": ("best_worst", {}),
    "explore.prompts": ("entropy", {}),
    "explore.features": ("lsa", {"explore.rule": "max_uncertainty"}),
    "explore.novelty": ("counts", {"learn.bonus": "copo"}),
    "explore.members": (8, {"explore.rule": "double_thompson"}),
    "explore.ridge": (2.0, {"explore.rule": "max_uncertainty"}),
    "explore.clusters": ("exact", CLUSTERS),
    "ask.labels": (64, {}),
    "learn.lr": (1e-5, {"recipe": "ppo"}),
    "learn.window": (2, {"learn.data": "window"}),
    "learn.top": (0.5, {"recipe": "raft", "learn.rows": "top"}),
    "learn.bonus_on": ("chosen", {"learn.bonus": "xpo"}),
    "credit.beta": (0.1, {"recipe": "ppo"}),
    "credit.horizon": (100.0, {"recipe": "ppo", "credit.target": 3.0}),
    "credit.lam": (0.9, {"recipe": "ppo"}),
    "credit.critic": ("zero", {"recipe": "ppo"}),
    "credit.critic_lr": (1e-3, {"recipe": "ppo"}),
    "reward.lr": (1e-4, {"recipe": "ppo"}),
    "reward.views_weight": (1.0, VIEWS),
    "reward.views_batch": (8, VIEWS),
    "reward.views_lr": (1e-3, VIEWS),
    "reward.retrainings": (2, VIEWS),
}
"""setting → a value, and settings with which it matters"""
IDLE: dict[str, dict[str, Any]] = {
    "ask.labels": {"recipe": "ppo", "explore.scorer": "sentiment"},
    "explore.rule": {"recipe": "sft", "data.completions": "texts.jsonl"},
    "explore.prompts": {"recipe": "sft", "data.completions": "texts.jsonl"},
    "learn.lr": {"recipe": "none"},
    "credit.lam": {"recipe": "rloo"},
    "credit.horizon": {"recipe": "ppo"},
    "credit.critic": {"recipe": "rloo"},
    "credit.critic_lr": {"recipe": "rloo"},
    "reward.retrainings": {"recipe": "ppo"},
}
"""setting → settings with which it does not, where a bare online DPO is none of them"""


def named(settings: dict[str, Any]) -> list[str]:
    config = parse({}).override(settings)
    return [line.partition("=")[0] for line in unread(config, phases_of(config))]


@pytest.mark.parametrize("setting", READ)
def test_a_setting_that_somebody_reads_is_not_named(setting: str) -> None:
    value, others = READ[setting]
    assert named({**others, setting: value}) == []


@pytest.mark.parametrize("setting", [s for s in READ if IDLE.get(s) != {"recipe": "none"}])
def test_a_setting_that_nobody_reads_is_named(setting: str) -> None:
    assert setting in named({**IDLE.get(setting, {}), setting: READ[setting][0]})


def test_every_reader_is_tried() -> None:
    assert {*_READERS} <= {name for s in READ for name in (s, s.partition(".")[0])}


def test_what_a_recipe_overrides_is_named_with_what_it_sets() -> None:
    config = parse({"recipe": "ppo", "explore": {"rule": "best_worst"}})
    assert [*unread(config, phases_of(config))] == [
        "explore.rule=best_worst gives way to recipe ppo, which sets on_policy"
    ]


def test_a_rule_that_wants_clusters_makes_no_use_of_them_where_nobody_is_asked() -> None:
    ppo = {"recipe": "ppo", "explore.rule": "largest_cluster", "explore.clusters": "exact"}
    assert named(ppo) == ["explore.rule", "explore.clusters"]


def test_a_target_of_kl_is_for_those_who_climb() -> None:
    assert named({"credit.target": 3.0, "credit.horizon": 9.0}) == [
        "credit.target",
        "credit.horizon",
    ]


def test_an_option_of_a_part_stands_without_its_name() -> None:
    assert named({"learn.loss": {"beta": 0.2}}) == []


def test_of_a_part_every_option_that_was_set_must_stand() -> None:
    asked = Part(name="ipo", beta=0.2)
    assert _is_kept(asked, Part(name="ipo", beta=0.2, tau=1.0))
    assert not _is_kept(asked, Part(name="ipo"))
    assert not _is_kept(asked, Part(name="dpo", beta=0.2))


def test_a_run_says_so_as_it_starts(tmp_path: Path) -> None:
    model = small.llama(tmp_path / "model")
    small.small_run(model, tmp_path / "run", {"rounds": 1, "learn.window": 2})
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "learn.window=2 is of no use to recipe online_dpo: it is for learn.data=window" in log


def test_a_dry_run_says_so_first() -> None:
    config = parse({"credit": {"beta": 0.1}})
    assert next(forecast(config)) == (
        "unread    credit.beta=0.1 is of no use to recipe online_dpo: it is for policy gradients, "
        "as in ppo and rloo"
    )
