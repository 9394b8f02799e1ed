"""Runs in processes of their own: how many, in which order, and how they end."""

import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

import inside
from prefloop.compare.plan import TUNING, Job
from prefloop.compare.work import Done, ended, work
from prefloop.config import parse


def job(folder: Path, seed: int = 0, settings: dict[str, Any] | None = None) -> Job:
    config = parse({"recipe": "online_dpo", "rounds": 2}).override(settings or {})
    return Job(method="m", point="own", seed=seed, config=config, folder=folder / f"seed-{seed}")


@dataclass
class Slow:
    """A process that is over after so many looks at it, and then leaves a run behind."""

    job: Job
    looks: int
    code: int = 0
    terminated: bool = False

    def poll(self) -> int | None:
        self.looks -= 1
        return None if self.looks > 0 else self.wait()

    def wait(self) -> int:
        if self.code == 0 and not self.terminated and not self.job.folder.exists():
            inside.make_up(self.job)
        return self.code

    def terminate(self) -> None:
        self.terminated = True


@dataclass
class Office:
    """Starts slow processes and counts those that are under way."""

    looks: list[int]
    codes: dict[int, int] = field(default_factory=dict)
    made: list[Slow] = field(default_factory=list)
    most: int = 0

    def __call__(self, job: Job) -> Slow:
        job.folder.parent.mkdir(parents=True, exist_ok=True)
        self.made.append(Slow(job, self.looks[len(self.made)], self.codes.get(job.seed, 0)))
        self.most = max(self.most, sum(process.looks > 0 for process in self.made))
        return self.made[-1]


def worked(office: Office, jobs: list[Job], workers: int, told=lambda done: None) -> list[Done]:
    with patch("prefloop.compare.work.start", office), patch("prefloop.compare.work._PAUSE", 0):
        return work(jobs, workers, told)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_so_many_run_at_a_time_and_outcomes_keep_the_order(workers: int, tmp_path: Path) -> None:
    jobs = [job(tmp_path, seed) for seed in range(5)]
    office = Office(looks=[9, 1, 4, 2, 1])
    told: list[Done] = []
    found = worked(office, jobs, workers, told.append)
    assert [done.job.seed for done in found] == [0, 1, 2, 3, 4]
    assert all(done.is_good and len(done.rows) == 3 for done in found)
    assert office.most == workers
    assert sorted(done.job.seed for done in told) == [0, 1, 2, 3, 4]
    assert (told[0].job.seed == 0) == (workers == 1), "each is told of when it comes"


def test_runs_that_ended_are_read_and_not_made(tmp_path: Path) -> None:
    jobs = [job(tmp_path, seed) for seed in range(3)]
    for one in jobs[:2]:
        inside.make_up(one)
    (jobs[1].folder / "status").write_text("stopped\n")
    office = Office(looks=[1, 1])
    worked(office, jobs, 1)
    assert [process.job.seed for process in office.made] == [1, 2]


@pytest.mark.parametrize(
    ("status", "is_over"),
    [("finished", True), ("limit", True), ("stopped", False), ("running", False), (None, False)],
)
def test_a_run_is_over_when_it_says_so(status: str | None, is_over: bool, tmp_path: Path) -> None:
    if status:
        (tmp_path / "status").write_text(f"{status}\n")
    assert ended(tmp_path) is is_over


def test_a_failed_run_says_why_and_the_rest_goes_on(tmp_path: Path) -> None:
    jobs = [job(tmp_path, seed) for seed in range(3)]
    (tmp_path / "seed-0.log").write_text("round 1\n\nprefloop: the oracle is on holiday\n\n")
    (tmp_path / "seed-1.log").write_text("round 1\n")
    codes = {0: 2, 1: -signal.SIGKILL}
    found = worked(Office(looks=[1, 1, 1], codes=codes), jobs, 2)
    assert [done.reason for done in found] == [
        "the oracle is on holiday",
        "killed by SIGKILL; the last it said: round 1",
        "",
    ]


def test_a_run_that_stopped_itself_has_no_result(tmp_path: Path) -> None:
    one = job(tmp_path)
    inside.make_up(one)
    (one.folder / "status").write_text("stopped\n")
    (found,) = worked(Office(looks=[1]), [one], 1)
    assert found.reason.startswith("stopped before its end")


def test_an_interrupt_ends_what_is_under_way_and_is_raised(tmp_path: Path) -> None:
    office = Office(looks=[1, 99, 99])

    def interrupt(done: Done) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        worked(office, [job(tmp_path, seed) for seed in range(3)], 2, interrupt)
    assert [process.terminated for process in office.made] == [False, True]


def test_a_request_to_end_is_an_interrupt(tmp_path: Path) -> None:
    office = Office(looks=[1, 99])
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        worked(
            office,
            [job(tmp_path, seed) for seed in range(2)],
            2,
            lambda done: signal.raise_signal(signal.SIGTERM),
        )
    assert office.made[1].terminated
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_trial_keeps_its_numbers_and_a_reported_run_its_policy(tmp_path: Path) -> None:
    for seed, kept in ((TUNING, set()), (0, {"policy", "best"})):
        one = job(tmp_path, seed)
        inside.make_up(one)
        for name in ("checkpoints", "policy", "best"):
            (one.folder / name).mkdir()
        worked(Office(looks=[]), [one], 1)
        left = {path.name for path in one.folder.iterdir()}
        assert left == {"metrics.jsonl", "status", *kept}


class TestAProcess:
    """`prefloop run` itself, from outside."""

    def test_makes_an_ordinary_run_folder(
        self, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
        one = job(tmp_path, 3, {**settings, "rounds": 1, "measure.examples": 1, "seed": 3})
        (done,) = work([one], 1, lambda done: None)
        assert done.reason == ""
        assert done.rows[-1]["labels_total"] == 4
        assert "seed: 3" in (one.folder / "config.yaml").read_text()
        assert (one.folder / "report.html").exists()

    def test_that_fails_leaves_its_reason(self, tmp_path: Path) -> None:
        one = job(tmp_path, 0, {"data.preferences": "nowhere.jsonl", "recipe": "dpo"})
        (done,) = work([one], 1, lambda done: None)
        assert not done.is_good
        assert "nowhere.jsonl" in done.reason or "rounds=2" in done.reason
