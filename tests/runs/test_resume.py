"""A run killed anywhere and started again ends as one that was left alone: DESIGN §1.6."""

import signal
from pathlib import Path

import pytest

import accounts
import small

STORE, RUNS = "prefloop.store.ledger:Ledger", "prefloop.runs"
POINTS = {
    "as the model loads": (f"{RUNS}.open:load_model", 1, "after"),
    "measuring the initial policy": (f"{STORE}.add_draw", 1, "after"),
    "between two chunks of samples": (f"{STORE}.add_draw", 3, "after"),
    "inside a chunk of samples": ("prefloop.generate.decode:draw", 15, "before"),
    "with a chunk drawn but not committed": (f"{STORE}.add_draw", 4, "before"),
    "inside a chunk of the second round": ("prefloop.generate.decode:draw", 39, "before"),
    "with queries chosen but not committed": (f"{STORE}.add_queries", 1, "before"),
    "with queries committed": (f"{STORE}.add_queries", 2, "after"),
    "with a question asked but not answered": ("os:fsync", 3, "after"),
    "between two answers": (f"{STORE}.add_answers", 5, "after"),
    "before asking is committed": (f"{STORE}.finish", 3, "before"),
    "before the reference pass": (f"{STORE}.add_logps", 4, "before"),
    "inside the reference pass": (f"{STORE}.add_logps", 4, "after"),
    "before the first step": ("prefloop.learn.step:Stepper.step", 1, "before"),
    "inside a gradient": ("prefloop.learn.step:Stepper._micro", 2, "after"),
    "between two steps": ("prefloop.learn.step:Stepper.step", 3, "after"),
    "between two steps of the second round": ("prefloop.learn.step:Stepper.step", 7, "after"),
    "with half a checkpoint written": (f"{RUNS}.checkpoints:save_file", 3, "after"),
    "with a checkpoint half of which is removed": (f"{RUNS}.checkpoints:shutil.rmtree", 2, "after"),
    "with a checkpoint that the ledger does not know": (f"{RUNS}.checkpoints:Checkpoints.save", 2, "after"),
    "before learning is committed": (f"{STORE}.finish", 5, "before"),
    "after learning is committed": (f"{STORE}.finish", 5, "after"),
    "between two chunks of measuring": (f"{STORE}.add_draw", 6, "after"),
    "between two scorers": (f"{STORE}.add_scores", 3, "after"),
    "before the round's numbers are committed": (f"{STORE}.finish", 7, "before"),
    "before the first round's metrics.jsonl": (f"{RUNS}.folder:RunFolder.write_metrics", 2, "before"),
    "before the last round's metrics.jsonl": (f"{RUNS}.folder:RunFolder.write_metrics", 3, "before"),
    "with half a policy written": ("transformers:LlamaForCausalLM.save_pretrained", 1, "after"),
    "before the best policy is written": (f"{RUNS}.main:save", 2, "before"),
    "before the report": (f"{RUNS}.main:write_report", 1, "before"),
}


@pytest.mark.parametrize("steps", [None, 1], ids=["whole rounds", "restart points"])
@pytest.mark.parametrize("point", POINTS)
def test_a_run_killed_once_ends_as_if_it_had_not_been(
    point: str, steps: int | None, model: str, undisturbed: Path, tmp_path: Path
) -> None:
    target, number, when = POINTS[point]
    folder, settings = tmp_path / "run", {"checkpoint.steps": steps}
    code = small.elsewhere(
        small.killed_at, target, number, when, small.small_run, model, folder, settings
    )
    assert code == -signal.SIGKILL, "the run never came to where it was to be killed"
    assert small.elsewhere(small.small_run, model, folder, settings) == 0
    accounts.same(folder, undisturbed)
    again = accounts.twice(small.Clerk(book=folder.with_suffix(".asked")).asked())
    assert len(again) <= (point == "with a question asked but not answered"), again
