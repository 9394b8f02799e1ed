"""What a run will learn from and take, before it is run."""

from typing import Any

import pytest
import torch

import small
import tiny
from prefloop.config import Config, parse
from prefloop.models.load import Loaded
from prefloop.runs.data import Data
from prefloop.runs.footprint import Amounts, disk_gb, memory_gb, rows, seen, steps
from prefloop.runs.open import phases_of
from prefloop.types import Prompt

POOL = Data(
    prompts=tuple(Prompt(text=str(i)) for i in range(1000)),
    items=(),
    eval_prompts=(),
    eval_items=(),
)
SETTINGS = {"ask.labels": 200, "sample.prompts": 40, "reward.holdout": 0.1, "ask.oracle": "vader"}


def configured(recipe: str, **settings: Any) -> Config:
    path = {"model": {"path": "of-ones-own"}, "data": {"prompts": "prompts.jsonl"}}
    return parse({"recipe": recipe, **path}).override(SETTINGS | settings)


def learned(recipe: str, **settings: Any) -> list[int]:
    """Rows of a round of every phase."""
    phases = phases_of(configured(recipe, **settings))
    return [rows(phases[: i + 1], POOL) for i in range(len(phases))]


def test_views_bring_no_answers_a_retrained_model_learns_from_the_same_ones() -> None:
    """200 labels, a tenth held out; PPO's rounds are of 40 samples."""
    assert learned("rlp_uml") == [180, 40, 180, 40]


def test_steps_go_over_every_epochs_rows_and_over_the_views_of_each_step() -> None:
    """180 answers in batches of 32, twice: twelve steps; PPO's 40 samples in one batch, thrice."""
    settings = {"reward.batch": 32, "reward.epochs": 2, "reward.views_batch": 7}
    phases = phases_of(configured("rlp_uml", **settings, **{"learn.batch": 64, "learn.epochs": 3}))
    parts = [phases[: i + 1] for i in range(4)]
    assert [steps(part, POOL) for part in parts] == [12, 3, 12, 3]
    assert [seen(part, POOL) for part in parts] == [360, 120, 360 + 12 * 7, 120]


def test_synthetic_preferences_are_learned_from_beside_the_answers() -> None:
    """At most one a prompt."""
    assert learned("rlp_spg") == [180, 40, 0.9 * (200 + 40), 40]
    assert learned("rlp_spg", **{"reward.data": "latest"})[2] == 0.9 * 40


def test_instalments_are_learned_from_together() -> None:
    """`ask.labels` is of one instalment."""
    assert learned("iterated_rlhf") == [180, 40, 360, 40]


def test_a_policy_learns_from_what_was_asked_or_else_drawn() -> None:
    (online,) = phases_of(configured("online_dpo"))
    assert Amounts.of(online, POOL) == Amounts(prompts=40, drawn=80, asked=40)
    assert rows([online], POOL) == 40


@pytest.fixture
def loaded() -> Loaded:
    return Loaded(small.network(), tiny.tokenizer(), torch.device("cpu"), 64)


def gigabytes(loaded: Loaded, recipe: str, **settings: Any) -> float:
    return memory_gb(loaded, phases_of(configured(recipe, **settings)))


def test_a_critic_of_its_own_takes_a_model_its_learning_and_its_activations(loaded: Loaded) -> None:
    """Weights four times: itself, gradients and two moments; activations as the policy's."""
    weights = 4 * sum(p.numel() for p in loaded.model.parameters()) / 1e9
    text = loaded.model.config
    active = configured("ppo").learn.tokens * text.hidden_size * text.num_hidden_layers * 32 / 1e9
    shared = gigabytes(loaded, "ppo", **{"credit.critic": "shared"})
    assert gigabytes(loaded, "ppo") - shared == pytest.approx(4 * weights + active)
    assert gigabytes(loaded, "rloo") == pytest.approx(shared), "nor has RLOO a critic"


def test_a_learned_reward_is_one_model_more(loaded: Loaded) -> None:
    weights = 4 * sum(p.numel() for p in loaded.model.parameters()) / 1e9
    without = gigabytes(loaded, "online_dpo")
    assert gigabytes(loaded, "rloo") - without == pytest.approx(weights)


def test_checkpoints_hold_weights_and_moments_as_often_as_they_are_kept(loaded: Loaded) -> None:
    weights = 4 * sum(p.numel() for p in loaded.model.parameters()) / 1e9
    kept = {"checkpoint.keep": 3}
    assert disk_gb(loaded, configured("online_dpo", **kept)) == pytest.approx(17 * weights)
