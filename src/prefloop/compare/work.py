"""Make the runs: one process each, so many at a time; those that are done are read, not made."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import current_thread, main_thread
from time import sleep
from types import FrameType
from typing import Any, Protocol, runtime_checkable

import yaml

from prefloop.compare.curves import Rows
from prefloop.compare.plan import Job

ENDED = ("finished", "limit")
"""a run that left its folder like this has spent what it may spend"""
_PAUSE = 0.05  # seconds between looks at who is done


@runtime_checkable
class Process(Protocol):
    """A run under way, as `subprocess.Popen` has it."""

    def poll(self) -> int | None: ...
    def terminate(self) -> None: ...
    def wait(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a run came out: its metrics, or why there are none."""

    job: Job
    rows: Rows = ()
    reason: str = ""

    @property
    def is_good(self) -> bool:
        """Did it come to its end?"""
        return not self.reason


def work(jobs: Sequence[Job], workers: int, told: Callable[[Done], None]) -> list[Done]:
    """Every job's outcome, in the order of the jobs; `told` hears of each as it comes.

    An interrupt stops the runs under way where they can be continued, and is raised again.
    """
    found: dict[Path, Done] = {}

    def took(done: Done) -> None:
        found[done.job.folder] = done
        told(done)

    waiting = iter(jobs)
    with _under_way() as running:
        while len(found) < len(jobs):
            while len(running) < workers and (job := next(waiting, None)):
                if ended(job.folder):
                    took(outcome(job, 0))
                else:
                    running[job.folder] = (job, start(job))
            for job, process in [r for r in running.values() if r[1].poll() is not None]:
                del running[job.folder]
                took(outcome(job, process.wait()))
            sleep(_PAUSE if running else 0)
    return [found[job.folder] for job in jobs]


def start(job: Job) -> Process:
    """`prefloop run` in a process of its own, with one thread; what it says goes to a log."""
    job.folder.parent.mkdir(parents=True, exist_ok=True)
    settings = job.config.model_dump(mode="json", exclude_unset=True)
    recipe = _beside(job, ".yaml")
    recipe.write_text(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), "utf-8")
    command = [sys.executable, "-m", "prefloop.cli", "run", str(recipe), "--out", str(job.folder)]
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    with _beside(job, ".log").open("w", encoding="utf-8") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **threads}
        )


def outcome(job: Job, code: int) -> Done:
    """What a process that ended with this code left behind."""
    if code or not ended(job.folder):
        return Done(job=job, reason=_reason(job, code))
    lines = (job.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows: list[Mapping[str, Any]] = [json.loads(line) for line in lines]
    _shed(job)
    return Done(job=job, rows=rows)


def ended(folder: Path) -> bool:
    """Did the run in this folder come to its end?"""
    status = folder / "status"
    return status.exists() and status.read_text(encoding="utf-8").strip() in ENDED


def _reason(job: Job, code: int) -> str:
    """The last thing a failed run said."""
    log = _beside(job, ".log")
    said = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
    last = next((line.strip() for line in reversed(said) if line.strip()), "it said nothing")
    if code < 0:
        return f"killed by {signal.Signals(-code).name}; the last it said: {last}"
    return last.removeprefix("prefloop: ") if code else f"stopped before its end: {last}"


def _shed(job: Job) -> None:
    """Delete what only a run that goes on would need; of a trial, its policies too."""
    for name in ("checkpoints", *(("policy", "best") if job.tunes else ())):
        shutil.rmtree(job.folder / name, ignore_errors=True)


def _beside(job: Job, ending: str) -> Path:
    return job.folder.with_name(job.folder.name + ending)


@contextmanager
def _under_way() -> Iterator[dict[Path, tuple[Job, Process]]]:
    """Runs by folder; none is left behind, and a request to end is passed on to them."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    running: dict[Path, tuple[Job, Process]] = {}
    hears = current_thread() is main_thread()  # Python hears signals nowhere else
    before = signal.signal(signal.SIGTERM, interrupt) if hears else None
    try:
        yield running
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.wait()
        if hears:
            signal.signal(signal.SIGTERM, before)
