"""Pairs of the policy's samples that a reward model's backbone learns from beside its labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from prefloop.learn.objective import Loss
from prefloop.learn.optimizer import Trained
from prefloop.learn.terms import Turn
from prefloop.rng import key, stream
from prefloop.types import Response


@dataclass(kw_only=True)
class Views:
    """λ times the mean of a views loss on two samples of each of so many prompts a step.

    Which prompts, which two samples, and the encoder's noise depend on the step's number alone.
    Lang et al. 2024, RLP-UML (arXiv:2403.19279): views are samples of one prompt, not dropouts.
    """

    model: Any
    """the reward model whose states are encoded"""
    encoder: nn.Module
    """a `models.views.ViewEncoder`"""
    loss: Loss
    groups: Sequence[Sequence[Response]]
    """the policy's samples, a group a prompt"""
    weight: float
    batch: int
    seed: int
    round: int

    def __post_init__(self) -> None:
        self.groups = [group for group in self.groups if len(group) > 1]
        if len(self.groups) < 2:
            raise ValueError(
                "mutual information needs other prompts' samples as negatives: at least 2 prompts "
                f"with 2 samples each, got {len(self.groups)}; raise sample.prompts, and set "
                "sample.sources={policy: 2} or more"
            )

    @property
    def trained(self) -> Trained:
        """The encoder, by the prefix of its parameters' names."""
        return {"views": self.encoder}

    def pairs(self, step: int) -> list[tuple[Response, Response]]:
        """The views of a step."""
        rng = stream(self.seed, "views", self.round, step)
        count = min(self.batch, len(self.groups))
        found = []
        for place in rng.choice(len(self.groups), count, replace=False):
            group = self.groups[place]
            first, second = rng.choice(len(group), 2, replace=False)
            found.append((group[first], group[second]))
        return found

    def gradient(self, turn: Turn) -> float:
        """Add the term's gradient to what is there; its value, λ included.

        States are computed twice, the second time a micro-batch at a time, so that the whole batch
        of negatives never has to be kept for the way back (Gao et al. 2021, arXiv:2101.06983).
        """
        responses = [response for pair in self.pairs(turn.number) for response in pair]
        parts = _parts(responses, turn.budget)
        with torch.no_grad():
            states = torch.cat([self._states(part, turn) for part in parts])
        states.requires_grad_()
        value = self.weight * self._value(states, turn.number)
        value.backward()  # type: ignore[no-untyped-call]
        slopes = states.grad
        assert slopes is not None
        at = 0
        for part in parts:
            slope = slopes[at : at + len(part)]
            (self._states(part, turn) * slope).sum().backward()  # type: ignore[no-untyped-call]
            at += len(part)
        return float(value.detach())

    def _states(self, part: Sequence[Response], turn: Turn) -> Tensor:
        """What is encoded, in the encoder's precision."""
        with turn.autocast():
            states: Tensor = self.model.states(part)
        return states.to(self.model.head.weight.dtype)

    def _value(self, states: Tensor, step: int) -> Tensor:
        device = states.device
        noise = torch.Generator(device).manual_seed(key(self.seed, "noise", self.round, step))
        return self.loss(self.encoder(states[::2], states[1::2], noise)).mean()


def _parts(responses: Sequence[Response], budget: int) -> list[Sequence[Response]]:
    longest = max(len(r.prompt.tokens) + len(r.tokens) for r in responses)
    size = max(1, budget // longest)
    return [responses[i : i + size] for i in range(0, len(responses), size)]
