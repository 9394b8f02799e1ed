"""The preferred responses as language, which a reward model's backbone must not forget."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from prefloop.learn.collate import micro_batches, trees
from prefloop.learn.facts import Row
from prefloop.learn.optimizer import Trained
from prefloop.learn.terms import Turn
from prefloop.types import Preference, Ranking, Response


@dataclass(frozen=True, kw_only=True)
class Language:
    """weight times the mean surprise of a token of the preferred responses.

        − weight · Σ w(y) log π(y|x) / Σ w(y)|y|,      w = p for a, 1 − p for b

    π is the reward model's trunk under the frozen vocabulary head of the policy that it came from.
    Yang et al. 2024 (arXiv:2406.10216), who train that head too, weigh the losses by 1 − α and α,
    and have −log σ(0.1 log π) of whole responses in the place of −log π: it weighs the likely less.
    """

    model: Any
    """the reward model, in the policy's tokens"""
    vocabulary: Any
    """a `models.vocabulary.Vocabulary`"""
    weight: float
    trained: Trained = field(default_factory=dict)

    def gradient(self, turn: Turn) -> float:
        """Add the term's gradient to what is there, by micro-batches; its value."""
        weights = _preferred(turn.rows)
        total = sum(weight * len(r.tokens) for r, weight in weights.values())
        value = 0.0
        for forest in micro_batches(trees([r for r, _ in weights.values()]), turn.budget):
            part = [weights[r.id] for tree in forest for r in tree.responses]
            with turn.autocast():
                share = self.weight / total * self._surprise(part)
            share.backward()  # type: ignore[no-untyped-call]
            value += float(share.detach())
        return value

    def _surprise(self, part: Sequence[tuple[Response, float]]) -> Tensor:
        states = self.model.predictors([r for r, _ in part])
        tokens = [token for r, _ in part for token in r.tokens]
        logps: Tensor = self.vocabulary.logps(states, torch.tensor(tokens, device=states.device))
        each = [weight for r, weight in part for _ in r.tokens]
        return -(logps.new_tensor(each) * logps).sum()


def _preferred(rows: Sequence[Row]) -> dict[str, tuple[Response, float]]:
    """Every response with a say, by its id, with how often it was preferred."""
    found: dict[str, tuple[Response, float]] = {}
    for response, weight in (pair for row in rows for pair in _shares(row)):
        if weight > 0:
            found[response.id] = (response, weight + found.get(response.id, (response, 0.0))[1])
    return found


def _shares(row: Row) -> list[tuple[Response, float]]:
    """A row's one preference, shared among its responses; the tied best of a list share it."""
    if isinstance(row, Preference):
        return [(row.query.a, row.p), (row.query.b, 1 - row.p)]
    if not isinstance(row, Ranking):
        raise TypeError(
            f"reward.language needs rows that prefer a response, got a {type(row).__name__}; set "
            "it to 0"
        )
    best = [r for r, rank in zip(row.responses, row.ranks, strict=True) if rank == min(row.ranks)]
    return [(r, 1 / len(best)) for r in best]
