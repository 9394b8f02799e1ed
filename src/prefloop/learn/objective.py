"""What a step lowers: a loss on labelled rows, and perhaps a bonus on samples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.batches import PairLogps, PointLogps, SampleLogps, detached
from prefloop.learn import collate
from prefloop.learn.collate import About, Family, Logps
from prefloop.learn.facts import Facts, Row

Loss = Callable[[Any], Tensor]


@dataclass(frozen=True)
class Objective:
    """The mean loss over a batch, plus the mean over its rows of a bonus on their samples.

    Both are given as sums over a micro-batch, divided by what the accumulated batch holds.
    """

    loss: Loss
    bonus: Loss | None = None

    @cached_property
    def family(self) -> Family:
        """The tensor family of the loss."""
        return collate.family(self.loss)

    @cached_property
    def needs(self) -> frozenset[str]:
        """What loss and bonus cannot do without."""
        parts = [part for part in (self.loss, self.bonus) if part is not None]
        return frozenset(need for part in parts for need in collate.needs_of(part))

    def batch(
        self, rows: Sequence[Row], logps: Logps, facts: Facts, about: About
    ) -> PairLogps | PointLogps:
        """The loss's argument; a micro-batch that is the whole batch is told of itself."""
        y: Any = collate.batch(self.family, rows, logps, facts, about)
        alone = "whole" in self.needs and about.whole is None and len(rows) == about.rows
        found: PairLogps | PointLogps = replace(y, whole=detached(y)) if alone else y
        return found

    def __call__(
        self, rows: Sequence[Row], logps: Logps, facts: Facts, about: About
    ) -> tuple[Tensor, dict[str, float]]:
        """Its share of the objective, and sums over it of what the step reports."""
        y = self.batch(rows, logps, facts, about)
        losses = self.loss(y)
        value, numbers = losses.sum() / about.count, _numbers(y, losses)
        if self.bonus is None:
            return value, numbers
        bonus, said = _bonus(self.bonus, *collate.samples(rows, logps, facts))
        scale = about.count / about.rows
        return value + bonus / about.rows, numbers | {k: v * scale for k, v in said.items()}


def _bonus(
    bonus: Loss, s: SampleLogps, weights: Float[Tensor, " sample"]
) -> tuple[Tensor, dict[str, float]]:
    """Its sum, how hard it pushes (below zero: up), and how many samples it leaves alone."""
    value = (weights * bonus(s)).sum()
    (push,) = torch.autograd.grad(value, s.y, retain_graph=True)
    numbers = {"bonus": value, "bonus_push": push.sum(), "bonus_at_rest": weights[push == 0].sum()}
    return value, {name: float(number.detach()) for name, number in numbers.items()}


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
