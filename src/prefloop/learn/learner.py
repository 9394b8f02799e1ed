"""The learner: a round's answers, in a committed order, through optimizer steps to new weights."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from prefloop.config import Learn
from prefloop.learn.collate import Logps, Row, batch, family, responses_of
from prefloop.learn.optimizer import adamw, learning_rate, load_state_tensors, state_tensors
from prefloop.learn.step import Loss, Stepper, Tally
from prefloop.rng import stream


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The order of a round's rows, fixed before the first step."""

    batches: tuple[tuple[int, ...], ...]
    """row numbers of each optimizer step"""

    @classmethod
    def of(cls, rows: int, settings: Learn, seed: int, round: int) -> "Plan":
        """Every epoch a new permutation, cut into batches; the last may be smaller."""
        batches: list[tuple[int, ...]] = []
        for epoch in range(settings.epochs):
            order = stream(seed, "learn", round, epoch).permutation(rows).tolist()
            starts = range(0, rows, settings.batch)
            batches += [tuple(order[i : i + settings.batch]) for i in starts]
        return cls(batches=tuple(batches))


class Learner:
    """Trains a policy on rows of one family, and can be stopped and restored between steps."""

    def __init__(self, policy: Any, loss: Loss, settings: Learn) -> None:
        self.policy = policy
        self.settings = settings
        self.stepper = Stepper(
            policy=policy,
            optimizer=adamw(policy.model, settings),
            loss=loss,
            family=family(loss),
            budget=settings.tokens,
            max_grad_norm=settings.max_grad_norm,
            autocast=autocast(settings.precision, next(policy.model.parameters()).device),
        )

    def steps(
        self, rows: Sequence[Row], ref: Mapping[str, float], plan: Plan, *, done: int = 0
    ) -> Iterator[Tally]:
        """Take the plan's steps from number `done` on, yielding each one's tally."""
        total = len(plan.batches)
        for number in range(done, total):
            chosen = [rows[i] for i in plan.batches[number]]
            lr = learning_rate(self.settings, number, total)
            yield self.stepper.step(chosen, ref, lr)

    def loss_at_reference(self, rows: Sequence[Row], ref: Mapping[str, float]) -> float:
        """The mean loss these rows would have at π = π_ref."""
        names = list({r.id: None for row in rows for r in responses_of(row)})
        values = torch.tensor([ref[name] for name in names], dtype=torch.float64)
        logps = Logps(values=values, place={name: i for i, name in enumerate(names)})
        y = batch(self.stepper.family, rows, logps, ref, mean_length=1.0)
        return float(self.stepper.loss(y).mean())

    def state_dict(self) -> dict[str, Tensor]:
        """The optimizer's moments, by parameter name."""
        return state_tensors(self.stepper.optimizer, self.policy.model)

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Put the moments back; an empty mapping starts afresh."""
        load_state_tensors(self.stepper.optimizer, self.policy.model, tensors)


def autocast(precision: str, device: torch.device) -> Callable[[], AbstractContextManager[Any]]:
    """bfloat16 autocast where asked for, or where the hardware has bfloat16 under `auto`."""
    if precision == "float32" or (precision == "auto" and not has_bfloat16(device)):
        return nullcontext
    return lambda: torch.autocast(device.type, torch.bfloat16)


def has_bfloat16(device: torch.device) -> bool:
    """Does this device multiply bfloat16 matrices in hardware?"""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported())
    return False
