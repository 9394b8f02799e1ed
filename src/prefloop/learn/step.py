"""One optimizer step: accumulate a batch's gradient over micro-batches, clip, step."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from prefloop.learn.collate import Tree, micro_batches, trees
from prefloop.learn.facts import Facts, Row, strangers
from prefloop.learn.families import About
from prefloop.learn.objective import Objective
from prefloop.types import Response

Says = Callable[[Sequence[Response]], Any]
"""what a model says of responses, differentiable, as `values.Logps` or `values.TokenValues`"""


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

    says: Says
    optimizer: torch.optim.Optimizer
    objective: Objective
    budget: int
    max_grad_norm: float | None
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
    heads: int = 1
    """loss values a row, where a reward model has several heads"""
    also: Callable[[Sequence[Row], int], Mapping[str, float]] = lambda rows, budget: {}
    """adds to the gradient of a step what is no row's loss, micro-batches of `budget` tokens at a
    time; says how much it was"""

    def step(self, rows: Sequence[Row], facts: Facts, lr: float) -> Tally:
        """Accumulate the objective's mean over the rows, clip, and move the weights."""
        tally = self._gradient(rows, facts)
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, self.max_grad_norm or float("inf"))
        if not torch.isfinite(norm):
            raise FloatingPointError(
                f"the gradient norm is {norm.item()}; the weights were not changed. Lower "
                f"learn.lr (now {lr:g}), or set learn.precision=float32"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["scale"]
        self.optimizer.step()
        tally.sums["grad_norm"] = float(norm) * tally.rows
        return tally

    def _gradient(self, rows: Sequence[Row], facts: Facts) -> Tally:
        """Gradient of the objective; begun anew with half the budget when memory runs out.

        A backward pass that ran out may have added part of its gradient, so what was accumulated
        is thrown away: the gradient does not depend on the budget.
        """
        forest = trees(rows, facts)
        while True:
            plan = micro_batches(forest, self.budget)
            self.optimizer.zero_grad(set_to_none=True)
            try:
                return self._accumulate(plan, rows, facts)
            except torch.OutOfMemoryError as error:
                if len(plan) == len(forest):
                    raise MemoryError(
                        f"one prompt with its responses ({max(t.size for t in forest)} tokens) "
                        "does not fit in memory; set model.gradient_checkpointing=true, "
                        "model.adapter=lora, or shorten sample.max_new_tokens"
                    ) from error
            self.budget = max(1, self.budget // 2)

    def _accumulate(
        self, plan: Sequence[Sequence[Tree]], rows: Sequence[Row], facts: Facts
    ) -> Tally:
        about = self._about(plan, rows, facts)
        total = Tally(rows=about.count)
        for forest in plan:
            value, tally = self._micro(forest, facts, about)
            value.backward()  # type: ignore[no-untyped-call]
            total.add(tally)
        for name, term in self.also(rows, self.budget).items():
            total.sums[name] = term * total.rows
        return total

    def _micro(self, forest: Sequence[Tree], facts: Facts, about: About) -> tuple[Tensor, Tally]:
        rows = [row for tree in forest for row in tree.rows]
        value, numbers = self.objective(rows, self.said(forest), facts, about)
        return value, Tally(tokens=sum(tree.size for tree in forest), sums=numbers)

    def said(self, forest: Sequence[Tree]) -> Any:
        """What the model says of one micro-batch."""
        with self.autocast():
            return self.says([r for tree in forest for r in tree.responses])

    @torch.no_grad()
    def said_of(self, responses: Sequence[Response]) -> Any:
        """What it says of any responses, a micro-batch at a time, without gradients."""
        return self._all(micro_batches(trees(responses), self.budget))

    @torch.no_grad()
    def _about(self, plan: Sequence[Sequence[Tree]], rows: Sequence[Row], facts: Facts) -> About:
        """What the objective must know of all rows first; a forward pass where it needs one."""
        about = About.of(rows, self.objective.family, self.heads)
        if "whole" in self.objective.needs and len(plan) > 1:
            whole = self.objective.batch(rows, self._all(plan), facts, about)
            about = replace(about, whole=whole)
        if "mismatch" in self.objective.needs:
            asked = strangers(rows)
            found = self.said_of(asked)
            ref = found.known(facts.ref, asked, "ref")
            about = replace(about, mismatch=found.of(asked) - ref)
        return about

    def _all(self, plan: Sequence[Sequence[Tree]]) -> Any:
        parts = [self.said(forest) for forest in plan]
        return type(parts[0]).joined(parts)
