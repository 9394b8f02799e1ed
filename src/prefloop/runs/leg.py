"""A round's learning under way: what a restart must know."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from prefloop.learn.facts import Row, responses_of
from prefloop.learn.learner import Plan
from prefloop.learn.step import Tally
from prefloop.models.load import load_weights, weights
from prefloop.runs.checkpoints import Checkpoint
from prefloop.runs.session import Session
from prefloop.types import Preference, content_hash


@runtime_checkable
class Stateful(Protocol):
    """A learner, as far as a checkpoint is concerned."""

    def state_dict(self) -> dict[str, Tensor]: ...
    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None: ...


@dataclass(kw_only=True)
class Leg:
    """Counts a round's steps, and saves what is trained between them and at the end."""

    session: Session
    round: int
    learner: Stateful
    trained: Mapping[str, nn.Module]
    """what the steps change, by the name of its file in a checkpoint"""
    also: Callable[[], Mapping[str, Mapping[str, Tensor]]] = dict
    """further parts of the round's last checkpoint"""
    detail: Mapping[str, Any] = field(default_factory=dict)
    done: int = 0
    """optimizer steps taken"""
    tally: Tally = field(default_factory=Tally)
    first: dict[str, float] = field(default_factory=dict)
    """what the first step reported"""

    def resume(self) -> bool:
        """Go to where a killed run left off; False where this is the beginning."""
        point = self.session.checkpoints.load_partial(self.round)
        if point is None:
            return False
        kept = {"weights": point.weights, **point.parts}
        for name, model in self.trained.items():
            load_weights(model, dict(kept[name]))
        self.learner.load_state_dict(point.optimizer)
        self.tally, self.first = Tally(**point.detail["tally"]), point.detail["first"]
        self.done = point.step
        return True

    def took(self, step: Tally, *, last: bool) -> None:
        """Count a step; leave a restart point where one is due or the run is asked to stop."""
        self.done += 1
        self.first = self.first or step.means()
        self.tally.add(step)
        self.session.watch.advance(1, tokens=step.tokens)
        every = self.session.config.checkpoint.steps
        due = every is not None and self.done % every == 0 and not last
        if due or self.session.stop.asked:
            self._save(self.done, self.trained)
        self.session.stop.check()

    def finish(self, kept: Mapping[str, nn.Module]) -> None:
        """The policy is now the round's; of what was trained, `kept` is needed by later rounds."""
        self.session.policy.version = self.round
        self._save(-1, kept)

    def numbers(self, rows: Sequence[Row]) -> dict[str, Any]:
        """How the round's learning went, and from what it was."""
        pairs = [row for row in rows if isinstance(row, Preference)]
        ties = sum(row.p == 0.5 for row in pairs)
        return {
            **self.tally.means(),
            "loss_first": self.first["loss"],
            "ratio_off_first": self.first.get("ratio_off"),
            "rows": len(rows),
            "rows_prompts": len({r.prompt.id for row in rows for r in responses_of(row)}),
            "ties": ties / len(pairs) if pairs else None,
            "tokens_trained": self.tally.tokens,
        }

    def _save(self, step: int, models: Mapping[str, nn.Module]) -> None:
        parts = {name: weights(model) for name, model in models.items()}
        policy = parts.pop("weights", None) or weights(self.session.policy.model)
        self.session.checkpoints.save(
            Checkpoint(
                round=self.round,
                step=step,
                weights=policy,
                optimizer=self.learner.state_dict(),
                detail={"tally": vars(self.tally), "first": self.first, **self.detail},
                parts={**parts, **(self.also() if step < 0 else {})},
            )
        )


def commit_plan(session: Session, round: int, plan: Plan, rows: list[Row]) -> None:
    """Fix the order of the rows before the first step; a continued run must have the same."""
    ids = [r.id for row in rows for r in responses_of(row)]
    detail = {
        "rows": len(rows),
        "order": content_hash(ids, plan.batches),
        "threads": torch.get_num_threads(),
    }
    known = session.ledger.finished(round, "plan")
    if known is None:
        session.ledger.finish(round, "plan", detail)
    elif known["order"] != detail["order"]:
        raise RuntimeError(f"round {round}'s plan changed since it was committed")
    elif known["threads"] != detail["threads"]:
        session.watch.note(
            f"round {round} began with {known['threads']} threads and goes on with "
            f"{detail['threads']}: its weights may differ in the last bits"
        )
