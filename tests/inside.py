"""The runs of a comparison inside the test's own process, one after the other and at once."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from prefloop.compare.plan import Job
from prefloop.rng import stream
from prefloop.runs import run


@dataclass(frozen=True)
class Ended:
    """A process that is over already."""

    code: int = 0

    def poll(self) -> int:
        return self.code

    def wait(self) -> int:
        return self.code

    def terminate(self) -> None:
        pass


def make(job: Job) -> None:
    """The run itself, without its page."""
    with patch("prefloop.runs.summary.write"):
        run(job.config, job.folder)


def make_up(job: Job) -> None:
    """What a run of two rounds would leave: rewards that rise with KL, by another slope each."""
    slope = stream(job.seed, job.method, job.point).uniform(0.5, 1.5)
    labels = (job.config.rounds or 2) * (job.config.sample.prompts or 2)
    rows = [
        {
            "round": i,
            "labels_total": i * labels // 2,
            "kl": 2.0 * i,
            "gold_reward_mean": slope * i,
            "proxy_reward_mean": 2 * slope * i,
        }
        for i in range(3)
    ]
    job.folder.mkdir(parents=True)
    (job.folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (job.folder / "status").write_text("finished\n")


@dataclass
class Starter:
    """In place of `prefloop.compare.work.start`."""

    doing: Callable[[Job], None] = make_up
    breaks: dict[tuple[str, int], str] = field(default_factory=dict)
    """(method, seed) → what such a run says before it fails"""
    limit: int | None = None
    """runs to make before an interrupt"""
    started: list[Job] = field(default_factory=list)

    def __call__(self, job: Job) -> Ended:
        if self.limit is not None and len(self.started) >= self.limit:
            raise KeyboardInterrupt
        self.started.append(job)
        job.folder.parent.mkdir(parents=True, exist_ok=True)
        if said := self.breaks.get((job.method, job.seed)):
            job.folder.with_name(job.folder.name + ".log").write_text(f"starting\n{said}\n")
            return Ended(2)
        self.doing(job)
        return Ended()


def started_here(**options: Any) -> Any:
    """A patch that makes comparisons start their runs here; gives the Starter."""
    return patch("prefloop.compare.work.start", Starter(**options))
