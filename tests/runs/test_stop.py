"""Ctrl-C and SIGTERM end a run after the chunk it works on; nobody else may write meanwhile."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

import pytest
from safetensors.numpy import load_file

import accounts
import small
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


@pytest.mark.parametrize(
    ("moment", "number"),
    [*((moment, signal.SIGTERM) for moment in MOMENTS), ("as it takes a step", signal.SIGINT)],
)
def test_a_run_that_is_asked_to_stop_does_and_is_continued_to_the_same_end(
    moment: str, number: int, model: str, undisturbed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    work = (small.small_run, model, folder)
    assert small.elsewhere(small.signalled_at, *MOMENTS[moment], number, *work) == 0
    assert status(folder) == "stopped"
    assert small.elsewhere(*work) == 0
    assert status(folder) == "finished"
    accounts.same(folder, undisturbed)
    assert not accounts.twice(small.Clerk(book=folder.with_suffix(".asked")).asked())


def test_a_run_stops_at_the_end_of_the_chunk_it_works_on(model: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    point = ("prefloop.generate.decode:draw", 15, "before", signal.SIGTERM)
    assert small.elsewhere(small.signalled_at, *point, small.small_run, model, folder) == 0
    drawn = [tuple(row[:3]) for row in accounts.ledger(folder)["draws"]]
    assert drawn == [(0, "eval", 0), (0, "kl", 0), (1, "train", 0)]


def test_a_run_stopped_as_it_learns_leaves_the_policy_of_its_last_whole_round(
    model: str, undisturbed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    point = ("prefloop.learn.step:Stepper._micro", 6, "before", signal.SIGTERM)
    assert small.elsewhere(small.signalled_at, *point, small.small_run, model, folder) == 0
    assert len(accounts.metrics(folder)) == 2
    whole = load_file(folder / "checkpoints/round-0001/weights.safetensors")
    left = load_file(folder / "policy/model.safetensors")
    assert all((left[name] == whole[name]).all() for name in left)
    assert accounts.metrics(folder) == accounts.metrics(undisturbed)[:2]


def interrupt_twice() -> None:
    """Ctrl-C, and Ctrl-C again."""
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)


def interrupted_twice(model: str, folder: Path) -> None:
    """The small run, interrupted twice as it draws; exits with 3 if that ended it at once."""
    small.on_call("prefloop.generate.decode:draw", 15, "before", interrupt_twice)
    try:
        small.small_run(model, folder)
    except KeyboardInterrupt:
        os._exit(3)


def test_a_second_ctrl_c_ends_a_run_at_once_and_loses_one_chunk_only(
    model: str, undisturbed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    assert small.elsewhere(interrupted_twice, model, folder) == 3
    assert [row[1] for row in accounts.ledger(folder)["draws"]] == ["eval", "kl"]
    assert small.elsewhere(small.small_run, model, folder) == 0
    accounts.same(folder, undisturbed)


def test_one_run_at_a_time_has_a_folder_and_readers_read_meanwhile(
    model: str, undisturbed: Path, tmp_path: Path
) -> None:
    folder, gate = tmp_path / "run", tmp_path / "gate"
    clerk = small.Clerk(book=folder.with_suffix(".asked"), gate=gate)
    writer = small.begun(small.small_run, model, folder, oracle=clerk)
    try:
        until(clerk.asked)
        with pytest.raises(FolderError, match=rf"in use .* \(process {writer.pid}\); wait"):
            small.small_run(model, folder)
        reader = Ledger.open(folder / "ledger.sqlite")
        assert len(reader.responses(1, "train")) == 24
        assert len(reader.queries(1)) == 8
        assert summarize(folder).status == "running"
        gate.touch()
        until(lambda: reader.answered(1))
        writer.join()
        assert len(reader.preferences(2)) == 8, "a reader sees what was written since it came"
        reader.close()
        assert writer.exitcode == 0
    finally:
        writer.kill()
        writer.join()
    accounts.same(folder, undisturbed)


def test_a_run_in_another_thread_than_the_main_one_does_its_work(
    model: str, undisturbed: Path, tmp_path: Path
) -> None:
    thread = Thread(target=small.small_run, args=(model, tmp_path / "run"))
    thread.start()
    thread.join()
    accounts.same(tmp_path / "run", undisturbed)


def test_a_stopped_run_that_has_measured_nothing_yet_has_its_report(
    model: str, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    point = ("prefloop.runs.open:load_model", 1, "after", signal.SIGTERM)
    work = (small.small_run, model, folder)
    assert small.elsewhere(small.signalled_at, *point, *work, {}, True) == 0
    assert "stopped" in (folder / "report.html").read_text()


def status(folder: Path) -> str:
    """How the folder says that its run ended."""
    return (folder / "status").read_text().strip()


def until(happened: Callable[[], object], seconds: float = 60) -> None:
    """Wait until it has happened."""
    end = monotonic() + seconds
    while not happened():
        assert monotonic() < end, "it never happened"
        sleep(0.01)
