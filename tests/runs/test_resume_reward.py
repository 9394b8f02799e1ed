"""A run with a reward model in it, killed in any of its phases, ends as one that was left alone."""

import signal
from pathlib import Path
from typing import Any

import pytest

import accounts
import small

STEP, RUNS = "prefloop.learn.step:Stepper", "prefloop.runs"
SMALL: dict[str, Any] = {
    "rounds": 2,
    "ask.labels": 8,
    "sample.sources": {"policy": 1},
    "explore.rule": "on_policy",
    "reward.lr": 1e-2,
    "reward.batch": 4,
    "reward.precision": "float32",
    "reward.holdout": 0.0,
    "credit.target": 1.0,
    "credit.horizon": 10.0,
    "checkpoint.steps": 1,
}
UML = SMALL | {"recipe": "rlp_uml", "rounds": 1, "learn.epochs": 1, "reward.views_batch": 4}
SPG = SMALL | {
    "recipe": "rlp_spg",
    "rounds": 1,
    "learn.epochs": 1,
    "explore.rule": {"name": "largest_cluster", "confidence": 0.0},
    "explore.clusters": "exact",
}
PPO = SMALL | {"recipe": "ppo"}
WAYS: dict[str, tuple[dict[str, Any], tuple[str, small.Call, str]]] = {
    "as the reward model learns": (PPO, (f"{STEP}.step", 2, "after")),
    "before the reward model is kept": (
        PPO,
        (f"{RUNS}.reward:RewardLearning._publish", 1, "before"),
    ),
    "with the reward model kept, not committed": (
        PPO,
        (f"{RUNS}.checkpoints:Checkpoints.save", 3, "before"),
    ),
    "between two steps of PPO": (PPO, (f"{STEP}.step", 4, "after")),
    "between two steps of PPO's second round": (PPO, (f"{STEP}.step", 8, "after")),
    "as it is measured in between": (
        PPO,
        ("prefloop.store.ledger:Ledger.add_draw", (1, "kl"), "after"),
    ),
    "as the reward model keeps its language": (
        PPO | {"reward.language": 0.1},
        (f"{STEP}.step", 2, "after"),
    ),
    "as views are learned from": (UML, (f"{STEP}.step", 5, "after")),
    "after the second reward model": (UML, (f"{STEP}.step", 7, "after")),
    "as a reward model learns from agreement": (SPG, (f"{STEP}.step", 5, "after")),
    "with a critic on the policy's own trunk": (
        PPO | {"credit.critic": "shared"},
        (f"{STEP}.step", 8, "after"),
    ),
    "without a critic": (
        SMALL | {"recipe": "rloo", "sample.sources": {"policy": 2}},
        (f"{STEP}.step", 4, "after"),
    ),
    "as it imitates the best": (
        SMALL | {"recipe": "raft", "sample.sources": {"policy": 3}},
        (f"{STEP}.step", 4, "after"),
    ),
    "with adapters": (PPO | {"model.adapter": "lora"}, (f"{STEP}.step", 4, "after")),
}
"""where a run is killed, and which run it is"""


@pytest.mark.parametrize("way", WAYS)
def test_a_run_killed_in_a_phase_with_a_reward_is_continued_to_the_same_end(
    way: str, model: str, tmp_path: Path
) -> None:
    settings, point = WAYS[way]
    recipe = settings["recipe"]
    own = {key: value for key, value in settings.items() if key != "recipe"}
    given = {"recipe": recipe, "scorer": None}
    whole, folder = tmp_path / "whole", tmp_path / "run"
    assert small.elsewhere(small.small_run, model, whole, own, **given) == 0
    work = (small.small_run, model, folder, own)
    assert small.elsewhere(small.killed_at, *point, *work, **given) == -signal.SIGKILL
    assert small.elsewhere(*work, **given) == 0
    accounts.same(folder, whole)
    asked = small.Clerk(book=folder.with_suffix(".asked")).asked()
    assert not accounts.twice(asked)
