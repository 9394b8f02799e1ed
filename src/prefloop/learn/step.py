"""One optimizer step: accumulate a batch's gradient over micro-batches, clip, step."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from prefloop.batches import PairLogps, PointLogps
from prefloop.learn.collate import (
    Family,
    Logps,
    Row,
    Tree,
    batch,
    micro_batches,
    responses_of,
    trees,
)

Loss = Callable[[Any], Tensor]


@dataclass
class Tally:
    """Sums over a batch of what a step reports; divide by `rows`."""

    rows: int = 0
    tokens: int = 0
    sums: dict[str, float] = field(default_factory=dict)

    def add(self, other: "Tally") -> None:
        self.rows += other.rows
        self.tokens += other.tokens
        for name, value in other.sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def means(self) -> dict[str, float]:
        """Each sum over the number of rows."""
        return {name: value / max(1, self.rows) for name, value in self.sums.items()}


@dataclass
class Stepper:
    """What an optimizer step needs besides its rows. `budget` shrinks when memory runs out."""

    policy: Any
    optimizer: torch.optim.Optimizer
    loss: Loss
    family: Family
    budget: int
    max_grad_norm: float | None
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext

    def step(self, rows: Sequence[Row], ref: Mapping[str, float], lr: float) -> Tally:
        """Accumulate the mean loss of the rows, clip, and move the weights."""
        tally = self._gradient(rows, ref)
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, self.max_grad_norm or float("inf"))
        if not torch.isfinite(norm):
            raise FloatingPointError(
                f"the gradient norm is {norm.item()}; the weights were not changed. Lower "
                f"learn.lr (now {lr:g}), or set learn.precision=float32"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        tally.sums["grad_norm"] = float(norm) * tally.rows
        return tally

    def _gradient(self, rows: Sequence[Row], ref: Mapping[str, float]) -> Tally:
        """Gradient of the mean loss; begun anew with half the budget when memory runs out.

        A backward pass that ran out may have added part of its gradient, so what was accumulated
        is thrown away: the gradient does not depend on the budget.
        """
        forest = trees(rows)
        while True:
            plan = micro_batches(forest, self.budget)
            self.optimizer.zero_grad(set_to_none=True)
            try:
                return self._accumulate(plan, rows, ref)
            except torch.OutOfMemoryError as error:
                if len(plan) == len(forest):
                    raise MemoryError(
                        f"one prompt with its responses ({max(t.size for t in forest)} tokens) "
                        "does not fit in memory; set model.gradient_checkpointing=true, "
                        "model.adapter=lora, or shorten sample.max_new_tokens"
                    ) from error
            self.budget = max(1, self.budget // 2)

    def _accumulate(
        self, plan: Sequence[Sequence[Tree]], rows: Sequence[Row], ref: Mapping[str, float]
    ) -> Tally:
        lengths = [len(r.tokens) for row in rows for r in responses_of(row)]
        mean_length = sum(lengths) / len(lengths)
        total = Tally()
        for forest in plan:
            value, tally = self._micro(forest, ref, mean_length)
            (value / len(rows)).backward()  # type: ignore[no-untyped-call]
            total.add(tally)
        return total

    def _micro(
        self, forest: Sequence[Tree], ref: Mapping[str, float], mean_length: float
    ) -> tuple[Tensor, Tally]:
        rows = [row for tree in forest for row in tree.rows]
        asked = [r for tree in forest for r in tree.responses]
        with self.autocast():
            flat = self.policy.logps(asked)
        logps = Logps(values=flat, place={r.id: i for i, r in enumerate(asked)})
        y = batch(self.family, rows, logps, ref, mean_length)
        losses = self.loss(y)
        value = losses.sum()
        tokens = sum(tree.size for tree in forest)
        return value, Tally(rows=len(rows), tokens=tokens, sums=_numbers(y, losses))


@torch.no_grad()
def _numbers(y: PairLogps | PointLogps, losses: Tensor) -> dict[str, float]:
    """What the step reports, summed over the rows; ties are left out of accuracy by half."""
    numbers = {"loss": losses.sum()}
    if isinstance(y, PairLogps):
        first = y.p >= 0.5
        right = torch.where(first, y.margin, -y.margin)
        numbers |= {
            "accuracy": (right > 0).double().sum() + 0.5 * (right == 0).double().sum(),
            "margin": right.sum(),
            "logp_chosen": torch.where(first, y.a, y.b).sum(),
            "logp_rejected": torch.where(first, y.b, y.a).sum(),
            "logp_chosen_ref": torch.where(first, y.ref_a, y.ref_b).sum(),
            "logp_rejected_ref": torch.where(first, y.ref_b, y.ref_a).sum(),
        }
    else:
        numbers["logp_chosen"] = y.y.sum()
    return {name: float(value) for name, value in numbers.items()}
