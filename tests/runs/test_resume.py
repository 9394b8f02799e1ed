"""A run killed anywhere and started again ends as one that was left alone."""

import signal
from pathlib import Path
from typing import Any

import pytest

import accounts
import small
from prefloop.learn.learner import Plan
from prefloop.runs.folder import RunFolder

STORE, RUNS, STEP = "prefloop.store.ledger:Ledger", "prefloop.runs", "prefloop.learn.step:Stepper"
POINTS: dict[str, tuple[str, small.Call, str]] = {
    "as the model loads": (f"{RUNS}.open:load_model", 1, "after"),
    "with its start committed": (f"{STORE}.finish", (0, "start"), "after"),
    "measuring the initial policy": (f"{STORE}.add_draw", (0, "eval"), "after"),
    "between two chunks of samples": (f"{STORE}.add_draw", (1, "train", 0), "after"),
    "inside a chunk of samples": ("prefloop.generate.decode:draw", 15, "before"),
    "with a chunk drawn but not committed": (f"{STORE}.add_draw", (1, "train", 1), "before"),
    "inside a chunk of the second round": ("prefloop.generate.decode:draw", 39, "before"),
    "with queries chosen but not committed": (f"{STORE}.add_queries", (1,), "before"),
    "with queries committed": (f"{STORE}.add_queries", (2,), "after"),
    "with a question asked but not answered": ("small:settled", 3, "after"),
    "between two answers": (f"{STORE}.add_answers", 5, "after"),
    "before asking is committed": (f"{STORE}.finish", (1, "ask"), "before"),
    "before the reference pass": (f"{STORE}.add_logps", 3, "before"),
    "inside the reference pass": (f"{STORE}.add_logps", 4, "after"),
    "before the first step": (f"{STEP}.step", 1, "before"),
    "with half a checkpoint written": (f"{RUNS}.checkpoints:save_file", 3, "after"),
    "with a checkpoint the ledger does not know": (
        f"{RUNS}.checkpoints:Checkpoints.save",
        2,
        "after",
    ),
    "before learning is committed": (f"{STORE}.finish", (2, "learn"), "before"),
    "after learning is committed": (f"{STORE}.finish", (1, "learn"), "after"),
    "inside the second measurement": (f"{STORE}.add_draw", (1, "kl"), "before"),
    "between two scorers": (f"{STORE}.add_scores", 3, "after"),
    "before the round's numbers are committed": (f"{STORE}.finish", (1, "metrics"), "before"),
    "before the first round's metrics.jsonl": (
        f"{RUNS}.folder:RunFolder.write_metrics",
        2,
        "before",
    ),
    "before the last round's metrics.jsonl": (
        f"{RUNS}.folder:RunFolder.write_metrics",
        3,
        "before",
    ),
    "with half a policy written": ("transformers:LlamaForCausalLM.save_pretrained", 1, "after"),
    "before the best policy is written": (f"{RUNS}.main:save", 2, "before"),
    "before the report": (f"{RUNS}.main:write_report", 1, "before"),
}
"""where a run is killed: before or after which call of what"""
STEPS: dict[str, tuple[str, small.Call, str]] = {
    "before the first step": (f"{STEP}.step", 1, "before"),
    "inside a gradient": (f"{STEP}._micro", 2, "after"),
    "between two steps": (f"{STEP}.step", 3, "after"),
    "between two steps of the second round": (f"{STEP}.step", 7, "after"),
    "with half a restart point written": (f"{RUNS}.checkpoints:save_file", 5, "before"),
    "with half a restart point removed": ("os:unlink", 1, "after"),
    "with a restart point not yet in its place": ("pathlib:Path.rename", 3, "before"),
    "before its restart point is forgotten": (
        f"{RUNS}.checkpoints:Checkpoints.drop_partial",
        1,
        "before",
    ),
}
"""the same, where a restart point is written after every optimizer step"""


@pytest.mark.parametrize("point", POINTS)
def test_a_run_killed_once_ends_as_if_it_had_not_been(
    point: str, model: str, undisturbed: Path, tmp_path: Path
) -> None:
    again = killed_and_continued(POINTS[point], model, tmp_path / "run", {})
    accounts.same(tmp_path / "run", undisturbed)
    assert len(again) == (point == "with a question asked but not answered"), again


@pytest.mark.parametrize(
    ("point", "steps"),
    [
        (point, steps)
        for point in STEPS
        for steps in (1, None)
        if steps or "restart point" not in point
    ],
)
def test_a_run_killed_as_it_learns_ends_as_if_it_had_not_been(
    point: str, steps: int | None, model: str, undisturbed: Path, tmp_path: Path
) -> None:
    killed_and_continued(STEPS[point], model, tmp_path / "run", {"checkpoint.steps": steps})
    accounts.same(tmp_path / "run", undisturbed)


WAYS: dict[str, dict[str, Any]] = {
    "each round from the initial model": {
        "learn.init_from": "pi0",
        "learn.data": "all",
        "learn.optimizer": "fresh",
    },
    "against the previous policy": {"learn.reference": "previous", "learn.schedule": "cosine"},
    "with the reference swapped in": {"learn.resident": False},
    "with samples of the reference": {"sample.sources": {"policy": 1, "reference": 2}},
    "with adapters": {"model.adapter": "lora"},
    "by counts": {"learn.bonus": "copo", "explore.novelty": "coin_flip", "learn.data": "all"},
    "by the disagreement of members": {"explore.rule": "double_thompson", "rounds": 3},
    "against a policy of before": {
        "sample.sources": {"policy": 1, "previous": 2},
        "explore.rule": "checkpoint_pair",
        "checkpoint.keep": 2,
        "rounds": 3,
    },
    "on the law of its samples": {
        "learn.loss": "sail",
        "learn.epochs": 1,
        "learn.batch": 8,
        "sample.sources": {"policy": 2},
        "explore.rule": "on_policy",
        "rounds": 7,
    },
}


@pytest.mark.parametrize("way", WAYS)
def test_a_run_that_learns_in_another_way_is_continued_as_well(
    way: str, model: str, tmp_path: Path
) -> None:
    folder, whole = tmp_path / "run", tmp_path / "whole"
    settings = WAYS[way] | {"checkpoint.steps": 2}
    assert small.elsewhere(small.small_run, model, whole, settings) == 0
    killed_and_continued((f"{STEP}.step", 7, "after"), model, folder, settings)
    accounts.same(folder, whole)


def killed_and_continued(
    point: tuple[str, small.Call, str], model: str, folder: Path, settings: dict[str, Any]
) -> dict[str, int]:
    """Kill a run there, and run the same again; the questions that were asked more than once."""
    work = (small.small_run, model, folder, settings)
    assert small.elsewhere(small.killed_at, *point, *work) == -signal.SIGKILL
    if "write_report" not in point[0]:
        assert RunFolder(folder).status == "interrupted"
    assert small.elsewhere(*work) == 0
    return accounts.twice(small.Clerk(book=folder.with_suffix(".asked")).asked())


def test_a_round_that_is_under_way_is_not_continued_with_another_plan(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows in another order would be another run's."""
    with monkeypatch.context() as broken:
        broken.setattr("prefloop.learn.step.Stepper.step", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            small.small_run(model, tmp_path / "run")
    usual = Plan.of
    turned = lambda *given: Plan(batches=usual(*given).batches[::-1])
    monkeypatch.setattr(Plan, "of", turned)
    with pytest.raises(RuntimeError, match="round 1's plan changed since it was committed"):
        small.small_run(model, tmp_path / "run")
