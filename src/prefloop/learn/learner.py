"""The learner: a round's answers, in a committed order, through optimizer steps to new weights."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from prefloop.batches import TokenLogps
from prefloop.config import Learn, Training
from prefloop.learn.collate import prompt_of, trees
from prefloop.learn.facts import Facts, Row, responses_of, strangers
from prefloop.learn.families import About
from prefloop.learn.objective import Loss, Objective
from prefloop.learn.optimizer import (
    Trained,
    adamw,
    learning_rate,
    load_state_tensors,
    state_tensors,
)
from prefloop.learn.step import Stepper, Tally
from prefloop.learn.values import Logps, TokenValues
from prefloop.rng import stream
from prefloop.types import Response


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The order of a round's rows, fixed before the first step."""

    batches: tuple[tuple[int, ...], ...]
    """row numbers of each optimizer step"""

    @classmethod
    def of(cls, groups: Sequence[Hashable], settings: Training, seed: int, round: int) -> "Plan":
        """Every epoch a new permutation of the groups, cut into batches; the last may be smaller.

        `groups` names each row's: rows of one prompt stay together, as their step computes it once.
        """
        members: dict[Hashable, list[int]] = defaultdict(list)
        for place, group in enumerate(groups):
            members[group].append(place)
        together = list(members.values())
        batches: list[tuple[int, ...]] = []
        for epoch in range(settings.epochs):
            order = stream(seed, "learn", round, epoch).permutation(len(together))
            rows = [place for i in order for place in together[i]]
            starts = range(0, len(rows), settings.batch)
            batches += [tuple(rows[i : i + settings.batch]) for i in starts]
        return cls(batches=tuple(batches))


class Learner:
    """Trains a policy on rows of one family, and can be stopped and restored between steps."""

    def __init__(
        self,
        policy: Any,
        loss: Loss,
        settings: Learn,
        bonus: Loss | None = None,
        *,
        critic: Any = None,
        critic_lr: float | None = None,
        temperature: float = 1.0,
    ) -> None:
        self.policy, self.critic, self.temperature = policy, critic, temperature
        self.beta = 0.0
        """KL weight in the rewards of a policy gradient, as it stands"""
        self.settings = settings
        self.objective = Objective(loss, bonus)
        by_token, rate = self.objective.family is TokenLogps, settings.lr
        self.stepper = Stepper(
            says=self._tokens if by_token else self._sums,
            optimizer=adamw(self.trained, settings, {"critic": (critic_lr or rate) / rate}),
            objective=self.objective,
            budget=settings.tokens,
            max_grad_norm=settings.max_grad_norm,
            autocast=autocast(settings.precision, next(policy.model.parameters()).device),
        )

    @property
    def trained(self) -> Trained:
        """The policy, and the critic where there is one."""
        critic = {} if self.critic is None else {"critic": self.critic.model}
        return {"": self.policy.model, **critic}

    def _sums(self, responses: Sequence[Response]) -> Logps:
        place = {r.id: i for i, r in enumerate(responses)}
        return Logps(values=self.policy.logps(responses), place=place)

    def _tokens(self, responses: Sequence[Response]) -> TokenValues:
        if self.critic is None:
            y, value = self.policy.token_logps(responses, self.temperature), None
        else:
            y, value = self.critic.beside(self.policy, responses, self.temperature)
        return TokenValues.beside(responses, y, value)

    def plan(self, rows: Sequence[Row], seed: int, round: int) -> Plan:
        """Siblings together, but for a loss that asks for another prompt in every batch.

        Siblings are a prompt's samples of one policy: what earlier rounds asked about the prompt
        is spread over the steps.
        """
        apart = "mismatch" in self.objective.needs
        drawn = [responses_of(row)[0].policy_version for row in rows]
        siblings = [(prompt_of(row), version) for row, version in zip(rows, drawn, strict=True)]
        return Plan.of(range(len(rows)) if apart else siblings, self.settings, seed, round)

    def steps(
        self, rows: Sequence[Row], facts: Facts, plan: Plan, *, done: int = 0
    ) -> Iterator[Tally]:
        """Take the plan's steps from number `done` on, yielding each one's tally."""
        total = len(plan.batches)
        for number in range(done, total):
            chosen = [rows[i] for i in plan.batches[number]]
            lr = learning_rate(self.settings, number, total)
            yield self.stepper.step(chosen, facts, lr)

    def asks(self, rows: Sequence[Row], samples: Facts, plan: Plan) -> list[Response]:
        """Every response whose log π_ref the plan's steps will look up, each once."""
        found = [r for tree in trees(rows, samples) for r in tree.responses]
        if "mismatch" in self.objective.needs:
            for places in plan.batches:
                found += strangers([rows[i] for i in places])
        return list({r.id: r for r in found}.values())

    def loss_at_reference(self, rows: Sequence[Row], facts: Facts) -> float:
        """The mean loss these rows would have at π = π_ref."""
        names = list(facts.ref)
        values = torch.tensor([facts.ref[name] for name in names], dtype=torch.float64)
        logps = Logps(values=values, place={name: i for i, name in enumerate(names)})
        about = About.of(rows, self.objective.family)
        if "mismatch" in self.objective.needs:
            about = replace(about, mismatch=values.new_zeros(len(strangers(rows))))
        return float(self.objective.loss(self.objective.batch(rows, logps, facts, about)).mean())

    def state_dict(self) -> dict[str, Tensor]:
        """The optimizer's moments, by parameter name."""
        return state_tensors(self.stepper.optimizer, self.trained)

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Put the moments back; an empty mapping starts afresh."""
        load_state_tensors(self.stepper.optimizer, self.trained, tensors)


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
