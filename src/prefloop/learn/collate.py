"""From answered queries to trees of tokens, and from log-probabilities to a loss's batch.

A tree is a prompt with all of its responses that the batch needs: the prompt is computed once. The
learner never sees text; it sees the sampler's own tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_type_hints

import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.batches import PairLogps, PointLogps
from prefloop.types import Preference, Response

Row = Preference | Response
Family = type[PairLogps] | type[PointLogps]


def family(loss: object) -> Family:
    """The tensor family of a loss: the type of its first argument."""
    target = getattr(loss, "func", loss)
    hints = get_type_hints(target)
    first = next(iter(hints.values()))
    if first not in (PairLogps, PointLogps):
        raise TypeError(f"{target} takes {first}; this learner has PairLogps and PointLogps")
    return first  # type: ignore[no-any-return]


def responses_of(row: Row) -> tuple[Response, ...]:
    """The responses whose log-probabilities a row needs."""
    return (row.query.a, row.query.b) if isinstance(row, Preference) else (row,)


@dataclass(frozen=True, kw_only=True)
class Tree:
    """The rows of a batch that share one prompt."""

    rows: tuple[Row, ...]

    @property
    def responses(self) -> tuple[Response, ...]:
        """The distinct responses of the rows, in the order first named."""
        return tuple({r.id: r for row in self.rows for r in responses_of(row)}.values())

    @property
    def size(self) -> int:
        """Tokens: the prompt once, every response once."""
        tokens = sum(len(r.tokens) for r in self.responses)
        return len(self.responses[0].prompt.tokens) + tokens


def trees(rows: Sequence[Row]) -> list[Tree]:
    """Group rows by prompt, in the order the prompts are first seen."""
    groups: dict[tuple[int, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(responses_of(row)[0].prompt.tokens, []).append(row)
    return [Tree(rows=tuple(group)) for group in groups.values()]


def micro_batches(forest: Sequence[Tree], budget: int) -> list[list[Tree]]:
    """Trees packed into micro-batches of at most `budget` tokens, longest first.

    A tree longer than the budget gets a micro-batch of its own.
    """
    plan: list[list[Tree]] = []
    room = 0
    for tree in sorted(forest, key=lambda t: -t.size):
        if tree.size > room:
            plan.append([])
            room = budget
        plan[-1].append(tree)
        room -= tree.size
    return plan


@dataclass(frozen=True, kw_only=True)
class Logps:
    """The policy's log-probabilities of some responses, found by response id."""

    values: Float[Tensor, " response"]
    place: Mapping[str, int]

    def of(self, responses: Sequence[Response]) -> Float[Tensor, " row"]:
        """One value per response asked for, differentiable."""
        index = torch.tensor([self.place[r.id] for r in responses], device=self.values.device)
        return self.values.index_select(0, index)

    def column(self, values: Sequence[float | int]) -> Float[Tensor, " row"]:
        """Constants of the same dtype and device."""
        return torch.tensor(values, dtype=self.values.dtype, device=self.values.device)


def batch(
    kind: Family, rows: Sequence[Row], logps: Logps, ref: Mapping[str, float], mean_length: float
) -> PairLogps | PointLogps:
    """The loss's argument for these rows, with the reference's log-probabilities by id."""
    if kind is PairLogps:
        return _pairs([row for row in rows if isinstance(row, Preference)], logps, ref)
    return _points([point for row in rows for point in _labelled(row)], logps, ref, mean_length)


def _pairs(rows: Sequence[Preference], logps: Logps, ref: Mapping[str, float]) -> PairLogps:
    a, b = [row.query.a for row in rows], [row.query.b for row in rows]
    return PairLogps(
        a=logps.of(a),
        b=logps.of(b),
        ref_a=logps.column([ref[r.id] for r in a]),
        ref_b=logps.column([ref[r.id] for r in b]),
        p=logps.column([row.p for row in rows]),
        len_a=logps.column([len(r.tokens) for r in a]),
        len_b=logps.column([len(r.tokens) for r in b]),
    )


def _points(
    points: Sequence[tuple[Response, bool]],
    logps: Logps,
    ref: Mapping[str, float],
    mean_length: float,
) -> PointLogps:
    responses = [response for response, _ in points]
    y = logps.of(responses)
    return PointLogps(
        y=y,
        ref=logps.column([ref[r.id] for r in responses]),
        desirable=torch.tensor([good for _, good in points], device=y.device),
        length=logps.column([len(r.tokens) for r in responses]),
        mean_length=torch.tensor(mean_length, dtype=y.dtype, device=y.device),
    )


def _labelled(row: Row) -> list[tuple[Response, bool]]:
    """A row as points; of a pair, the preferred response is the desirable one."""
    if isinstance(row, Preference):
        return [(row.query.a, row.p >= 0.5), (row.query.b, row.p <= 0.5)]
    return [(row, row.desirable is not False)]
