"""A run whose reward model keeps its language, and models with which it cannot."""

from pathlib import Path
from typing import Any

import pytest
from transformers import LlamaForCausalLM

import accounts
import small
import tiny
from prefloop.config import ConfigError

SETTINGS: dict[str, Any] = {
    "rounds": 1,
    "ask.labels": 8,
    "sample.sources": {"policy": 1},
    "explore.rule": "on_policy",
    "reward.lr": 1e-2,
    "reward.batch": 4,
    "reward.precision": "float32",
    "reward.holdout": 0.0,
    "learn.epochs": 1,
}


def ppo(model: str, folder: Path, **changes: Any) -> Any:
    """A round of reward training and one of PPO."""
    settings = {**SETTINGS, **{f"reward.{name}": value for name, value in changes.items()}}
    return small.small_run(model, folder, settings, recipe="ppo", scorer=None)


def other(folder: Path, width: int = 32, template: str | None = None) -> str:
    """Another backbone than the policy's."""
    LlamaForCausalLM(tiny.config(hidden_size=width)).save_pretrained(folder)
    tiny.tokenizer(template).save_pretrained(folder)
    return str(folder)


def test_its_weight_decides_what_the_reward_model_becomes(model: str, tmp_path: Path) -> None:
    """No weight is as if there were no such setting; a step reports what was added to its loss."""
    runs = {
        name: ppo(model, tmp_path / name, **changes)
        for name, changes in {
            "plain": {},
            "none": {"language": 0.0},
            "some": {"language": 5.0},
        }.items()
    }
    weights = {name: accounts.weights(found.folder / "rewards") for name, found in runs.items()}
    assert weights["plain"].keys() == weights["none"].keys()
    for name, tensor in weights["plain"].items():
        assert tensor.tobytes() == weights["none"][name].tobytes()
    assert any((tensor != weights["some"][name]).any() for name, tensor in weights["plain"].items())
    rounds = {name: found.metrics[1] for name, found in runs.items()}
    assert "language" not in rounds["none"] and "language" not in rounds["plain"]
    assert 0 < rounds["some"]["language"] < 5 * 20
    assert rounds["some"]["loss_first"] == rounds["none"]["loss_first"]


def test_adapters_share_the_head_with_the_policy(model: str, tmp_path: Path) -> None:
    settings = {**SETTINGS, "reward.language": 1.0, "model.adapter": "lora"}
    found = small.small_run(model, tmp_path / "run", settings, recipe="ppo", scorer=None)
    assert found.status == "finished" and found.metrics[1]["language"] > 0


def test_a_backbone_of_another_width_is_refused_before_anything_is_asked(
    model: str, tmp_path: Path
) -> None:
    path, folder = other(tmp_path / "other", width=8), tmp_path / "run"
    with pytest.raises(
        ConfigError, match=r"head, 32 wide, on the trunk of .* which is 8 wide; set"
    ):
        ppo(model, folder, language=0.1, path=path)
    assert not small.Clerk(book=folder.with_suffix(".asked")).asked()
    assert ppo(model, folder, path=path).status == "finished", "the folder is not spoilt"


def test_a_backbone_with_other_tokens_is_refused(model: str, tmp_path: Path) -> None:
    path = other(tmp_path / "other", template=tiny.CHAT)
    with pytest.raises(
        ConfigError, match=r"needs a reward model in the policy's tokens, and .* set"
    ):
        ppo(model, tmp_path / "run", language=0.1, path=path)
