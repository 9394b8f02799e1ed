"""What a step lowers: a loss on labelled rows, and perhaps a bonus on samples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.batches import (
    PairLogps,
    PairScores,
    PointLogps,
    SampleLogps,
    SplitScores,
    TokenLogps,
    detached,
)
from prefloop.learn import families
from prefloop.learn.collate import needs_of
from prefloop.learn.facts import Facts, Row
from prefloop.learn.families import About, Family

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
        return families.family(self.loss)

    @cached_property
    def needs(self) -> frozenset[str]:
        """What loss and bonus cannot do without."""
        parts = [part for part in (self.loss, self.bonus) if part is not None]
        return frozenset(need for part in parts for need in needs_of(part))

    def batch(self, rows: Sequence[Row], said: Any, facts: Facts, about: About) -> Any:
        """The loss's argument; a micro-batch that is the whole batch is told of itself."""
        y = families.batch(self.family, rows, said, facts, about)
        alone = "whole" in self.needs and about.whole is None and len(rows) == about.rows
        return replace(y, whole=detached(y)) if alone else y

    def __call__(
        self, rows: Sequence[Row], said: Any, facts: Facts, about: About
    ) -> tuple[Tensor, dict[str, float]]:
        """Its share of the objective, and sums over it of what the step reports."""
        y = self.batch(rows, said, facts, about)
        losses = self.loss(y)
        value, numbers = losses.sum() / about.count, _numbers(y, losses)
        if self.bonus is None:
            return value, numbers
        bonus, said = _bonus(self.bonus, *families.samples(rows, said, facts))
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
def _numbers(y: Any, losses: Tensor) -> dict[str, float]:
    """What the step reports, summed over what the loss has values of."""
    told = _TOLD.get(type(y))
    numbers = {"loss": losses.sum(), **(told(y) if told else {})}
    return {name: float(value) for name, value in numbers.items()}


def _of_pairs(y: PairLogps) -> dict[str, Tensor]:
    first = y.p >= 0.5
    right = torch.where(first, y.margin, -y.margin)
    return {
        "accuracy": _accuracy(right),
        "margin": right.sum(),
        "logp_chosen": torch.where(first, y.a, y.b).sum(),
        "logp_rejected": torch.where(first, y.b, y.a).sum(),
        "logp_chosen_ref": torch.where(first, y.ref_a, y.ref_b).sum(),
        "logp_rejected_ref": torch.where(first, y.ref_b, y.ref_a).sum(),
    }


def _of_scores(y: PairScores) -> dict[str, Tensor]:
    right = torch.where(y.p >= 0.5, y.gap, -y.gap)
    return {"accuracy": _accuracy(right), "margin": right.sum()}


def _of_split_scores(y: SplitScores) -> dict[str, Tensor]:
    """By quality alone, which is what the score will be."""
    gap = (y.a - y.b)[:, 0]
    right = torch.where(y.p >= 0.5, gap, -gap)
    return {"accuracy": _accuracy(right), "margin": right.sum()}


def _of_tokens(y: TokenLogps) -> dict[str, Tensor]:
    """How far the policy has moved from the one that drew the tokens, and how wrong the critic is.

    `ratio_off` is |π/π_old − 1|: zero on the first step, up to rounding, or something is wrong.
    """
    ratio = y.log_ratio.clamp(-20, 20).exp()
    found = {"ratio_off": (ratio - 1).abs().sum(), "approx_kl": (ratio - 1 - y.log_ratio).sum()}
    if y.value is not None and y.returns is not None:
        found["value_error"] = (y.value - y.returns).square().sum()
    return found


def _accuracy(right: Tensor) -> Tensor:
    """How many are right; a tie is half right."""
    return (right > 0).double().sum() + 0.5 * (right == 0).double().sum()


def _of_points(y: PointLogps) -> dict[str, Tensor]:
    return {"logp_chosen": y.y.sum()}


_TOLD: dict[type, Callable[[Any], dict[str, Tensor]]] = {
    PointLogps: _of_points,
    PairLogps: _of_pairs,
    PairScores: _of_scores,
    SplitScores: _of_split_scores,
    TokenLogps: _of_tokens,
}
