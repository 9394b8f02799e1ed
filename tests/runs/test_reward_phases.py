"""Phases that begin where others ended: after imitation, or with the reward model before."""

import json
import signal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

import accounts
import small
from prefloop.config import parse
from prefloop.runs import Given, Result, run, summary
from prefloop.runs.policy import _critic_rate
from prefloop.store.ledger import Ledger

STEP = "prefloop.learn.step:Stepper"
SETTINGS: dict[str, Any] = {
    key: value
    for key, value in small.SETTINGS.items()
    if key not in ("sample.sources", "explore.rule")
} | {
    "ask.labels": 8,
    "learn.epochs": 1,
    "reward.lr": 1e-2,
    "reward.batch": 4,
    "reward.epochs": 1,
    "reward.precision": "float32",
    "reward.holdout": 0.0,
    "checkpoint.steps": 1,
}
WAYS: dict[str, tuple[str, dict[str, Any], tuple[str, small.Call, str]]] = {
    "as the reward model of a policy that imitated learns": (
        "ppo",
        {},
        (f"{STEP}.step", 3, "after"),
    ),
    "as the policy climbs from where it imitated": ("ppo", {}, (f"{STEP}.step", 5, "after")),
    "in the second round of the climb": ("ppo", {}, (f"{STEP}.step", 7, "after")),
    "in the climb, with adapters": (
        "ppo",
        {"model.adapter": "lora"},
        (f"{STEP}.step", 7, "after"),
    ),
    "as a reward model goes on from the one before": (
        "rlp_uml",
        {"rounds": 1, "reward.init_from": "previous", "reward.views_batch": 4},
        (f"{STEP}.step", 7, "after"),
    ),
    "as the last policy climbs the retrained one": (
        "rlp_uml",
        {"rounds": 1, "reward.init_from": "previous", "reward.views_batch": 4},
        (f"{STEP}.step", 9, "after"),
    ),
}
"""where a run is killed: the recipe, its settings and the point; steps 1 and 2 imitate"""


GOLD = small.Share(letters="est ")


def phased(
    recipe: str, model: str, folder: Path, settings: dict[str, Any], gold: Any = GOLD
) -> Result:
    """A run that imitates eight completions first, then learns a reward and climbs it."""
    book = folder.with_suffix(".jsonl")
    rows = [{"prompt": prompt, "completion": " seen"} for prompt in small.PROMPTS]
    book.parent.mkdir(exist_ok=True)
    book.write_text("\n".join(map(json.dumps, rows)))
    own = {"model.path": model, "data.completions": str(book), "learn.batch": 4}
    with patch.object(summary, "write"):
        return run(
            recipe,
            folder,
            {**SETTINGS, **own, **settings},
            data=Given(prompts=small.PROMPTS, eval_prompts=small.HELD),
            oracle=small.Clerk(book=folder.with_suffix(".asked")),
            gold=gold,
        )


@pytest.mark.parametrize("way", WAYS)
def test_a_run_whose_pi0_imitated_is_continued_to_the_same_end(
    way: str, model: str, tmp_path: Path
) -> None:
    recipe, own, point = WAYS[way]
    whole, folder = tmp_path / "whole" / "run", tmp_path / "killed" / "run"
    assert small.elsewhere(phased, recipe, model, whole, own) == 0
    work = (phased, recipe, model, folder, own)
    assert small.elsewhere(small.killed_at, *point, *work) == -signal.SIGKILL
    assert small.elsewhere(*work) == 0
    accounts.same(folder, whole)
    asked = small.Clerk(book=folder.with_suffix(".asked")).asked()
    assert len(asked) == 8
    assert not accounts.twice(asked)


def test_every_climb_begins_with_the_policy_that_imitated(model: str, tmp_path: Path) -> None:
    """The samples of a climb's first round have the same log-probability under it and under π₀."""
    found = phased("rlp_uml", model, tmp_path / "run", {"rounds": 2, "reward.views_batch": 4})
    names = [line["phase"] for line in found.metrics[1:]]
    assert names == ["sft", "reward", *["policy 1"] * 2, "reward 2", *["policy 2"] * 2]
    ledger = Ledger.open(found.folder / "ledger.sqlite")
    drawn = {round: ledger.responses(round, "train") for round in (3, 4, 5, 6, 7)}
    versions = {round: {r.policy_version for r in rows} for round, rows in drawn.items()}
    ledger.close()
    assert versions == {3: {1}, 4: {3}, 5: {4}, 6: {1}, 7: {6}}
    for first in (3, 6):
        assert found.metrics[first]["credit_kl"] == pytest.approx(0, abs=1e-4)
        assert found.metrics[first + 1]["credit_kl"] > 0.01
    assert all(
        line["ratio_off_first"] < 1e-5 for line in found.metrics if "policy" in line["phase"]
    )


def test_more_rounds_of_the_last_phase_are_the_rounds_of_a_longer_run(
    model: str, tmp_path: Path
) -> None:
    """What it goes back to is kept, π₀ and the reward model, though better rounds came since."""
    whole, folder = tmp_path / "whole" / "run", tmp_path / "short" / "run"
    phased("ppo", model, whole, {"rounds": 2}, gold=None)
    phased("ppo", model, folder, {"rounds": 1}, gold=None)
    phased("ppo", model, folder, {"rounds": 2}, gold=None)
    accounts.same(folder, whole)


@pytest.mark.parametrize(
    ("credit", "rate"),
    [
        ({"critic": "reward"}, 2e-5),
        ({"critic": "shared"}, 2e-3),
        ({"critic": "shared", "critic_lr": 1e-4}, 1e-4),
        ({"critic": "zero", "critic_lr": 1e-4}, 1e-4),
    ],
)
def test_a_fresh_head_on_the_policys_states_learns_faster_than_they_do(
    credit: dict[str, Any], rate: float
) -> None:
    config = parse({"learn": {"lr": 2e-5}, "credit": credit})
    assert _critic_rate(config) == pytest.approx(rate)
