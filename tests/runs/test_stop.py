"""Ctrl-C and SIGTERM end a run after the chunk it works on; nobody else may write meanwhile."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

import accounts
import pytest
import small
from safetensors.numpy import load_file

from prefloop.runs.folder import FolderError
from prefloop.runs.summary import summarize
from prefloop.store.ledger import Ledger

STORE = "prefloop.store.ledger:Ledger"
MOMENTS: dict[str, tuple[str, small.Call, str]] = {
    "as the model loads": ("prefloop.runs.open:load_model", 1, "after"),
    "as it measures the initial policy": (f"{STORE}.add_draw", (0, "eval"), "before"),
    "as it samples": ("prefloop.generate.decode:draw", 15, "before"),
    "as it asks": (f"{STORE}.add_answers", 3, "after"),
    "as it runs the reference": (f"{STORE}.add_logps", 3, "before"),
    "as it takes a step": ("prefloop.learn.step:Stepper._micro", 6, "before"),
    "as it measures": (f"{STORE}.add_draw", (1, "kl"), "before"),
    "as a round ends": (f"{STORE}.finish", (1, "metrics"), "after"),
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_that_is_asked_to_stop_does_and_is_continued_to_the_same_end(
    moment: str, number: int, model: str, undisturbed: Path, tmp_path: Path
) -> None:
    if number == signal.SIGINT and moment != "as it takes a step":
        pytest.skip("once is enough")
    folder = tmp_path / "run"
    work = (small.small_run, model, folder)
    assert small.elsewhere(small.signalled_at, *MOMENTS[moment], number, *work) == 0
    assert (folder / "status").read_text().strip() == "stopped"
    assert small.elsewhere(*work) == 0
    assert (folder / "status").read_text().strip() == "finished"
    accounts.same(folder, undisturbed)
    assert not accounts.twice(small.Clerk(book=folder.with_suffix(".asked")).asked())
