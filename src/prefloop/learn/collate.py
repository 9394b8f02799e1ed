"""From answered queries to trees of tokens, and from log-probabilities to a loss's batch.

A tree is a prompt with all of its responses that the batch needs: the prompt is computed once. The
learner never sees text; it sees the sampler's own tokens.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.batches import PairLogps, PointLogps, SampleLogps
from prefloop.learn.facts import Facts, Known, Row, labelled, name_of, responses_of
from prefloop.types import Preference, Response

Family = type[PairLogps] | type[PointLogps]
PAIR_FACTS = ("prev", "win", "width")
SAMPLE_FACTS = ("drawn", "novelty")


def family(loss: object) -> Family:
    """The tensor family of a loss: the type of its first argument."""
    target = getattr(loss, "func", loss)
    hints = get_type_hints(target)
    first = next(iter(hints.values()))
    if first not in (PairLogps, PointLogps):
        raise TypeError(f"{target} takes {first}; this learner has PairLogps and PointLogps")
    return first  # type: ignore[no-any-return]


def needs_of(part: object) -> tuple[str, ...]:
    """What the file of a loss or a bonus says it cannot do without."""
    target = getattr(part, "func", part)
    return tuple(getattr(sys.modules.get(target.__module__), "needs", ()))


@dataclass(frozen=True, kw_only=True)
class Tree:
    """The rows of a batch that share one prompt, and the responses their bonuses are on."""

    rows: tuple[Row, ...]
    samples: tuple[Response, ...] = ()

    @property
    def responses(self) -> tuple[Response, ...]:
        """The distinct responses, those of the rows first, in the order first named."""
        named = [*(r for row in self.rows for r in responses_of(row)), *self.samples]
        return tuple({r.id: r for r in named}.values())

    @property
    def size(self) -> int:
        """Tokens: the prompt once, every response once."""
        tokens = sum(len(r.tokens) for r in self.responses)
        return len(self.responses[0].prompt.tokens) + tokens


def trees(rows: Sequence[Row], facts: Facts | None = None) -> list[Tree]:
    """Group rows by prompt, in the order the prompts are first seen."""
    groups: dict[tuple[int, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(_prompt_of(row), []).append(row)
    samples = facts.samples if facts else {}
    return [
        Tree(
            rows=tuple(group),
            samples=tuple(r for row in group for r, _ in samples.get(name_of(row), ())),
        )
        for group in groups.values()
    ]


def _prompt_of(row: Row) -> tuple[int, ...]:
    """The tokens of the row's prompt; ValueError where its responses answer different ones."""
    prompt, *others = {r.prompt.tokens for r in responses_of(row)}
    if others:
        raise ValueError(f"the responses of {name_of(row)!r} answer different prompts")
    return prompt


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
        places = [self.place[r.id] for r in responses]
        index = torch.tensor(places, dtype=torch.long, device=self.values.device)
        return self.values.index_select(0, index)

    def column(self, values: Sequence[float | int]) -> Float[Tensor, " row"]:
        """Constants of the same dtype and device."""
        return torch.tensor(values, dtype=self.values.dtype, device=self.values.device)

    def known(
        self, values: Known, responses: Sequence[Response], what: str
    ) -> Float[Tensor, " row"]:
        """Facts of the responses as constants; ValueError where one is not known."""
        lacks = [r.id for r in responses if r.id not in values]
        if lacks:
            raise ValueError(
                f"every response needs its {what}, got none for {lacks[0]!r} and {len(lacks) - 1} "
                f"others; put it in Facts({what}=…), as `learner.asks` lists them"
            )
        return self.column([values[r.id] for r in responses])


@dataclass(frozen=True, kw_only=True)
class About:
    """What a micro-batch is told about the whole accumulated batch, on all ranks."""

    count: int
    """loss values in it"""
    rows: int
    mean_length: float
    """response tokens, on average"""
    whole: PairLogps | PointLogps | None = None
    mismatch: Float[Tensor, " stranger"] | None = None

    @classmethod
    def of(cls, rows: Sequence[Row], kind: Family) -> "About":
        """Of these rows; what must be computed by the policy is added later."""
        lengths = [len(r.tokens) for row in rows for r in responses_of(row)]
        each = labelled if kind is PointLogps else (lambda row: [row])
        count = sum(len(each(row)) for row in rows)
        return cls(count=count, rows=len(rows), mean_length=sum(lengths) / len(lengths))


def batch(
    kind: Family, rows: Sequence[Row], logps: Logps, facts: Facts, about: About
) -> PairLogps | PointLogps:
    """The loss's argument for these rows."""
    if kind is PairLogps:
        return _pairs([row for row in rows if isinstance(row, Preference)], logps, facts, about)
    return _points([point for row in rows for point in labelled(row)], logps, facts, about)


def _pairs(rows: Sequence[Preference], logps: Logps, facts: Facts, about: About) -> PairLogps:
    a, b = [row.query.a for row in rows], [row.query.b for row in rows]
    sampled = [x.source == y.source == "policy" for x, y in zip(a, b, strict=True)]
    return PairLogps(
        a=logps.of(a),
        b=logps.of(b),
        ref_a=logps.known(facts.ref, a, "ref"),
        ref_b=logps.known(facts.ref, b, "ref"),
        p=logps.column([row.p for row in rows]),
        len_a=logps.column([len(r.tokens) for r in a]),
        len_b=logps.column([len(r.tokens) for r in b]),
        on_policy=torch.tensor(sampled, device=logps.values.device),
        whole=about.whole if isinstance(about.whole, PairLogps) else None,
        **_known(PAIR_FACTS, "_a", a, logps, facts),
        **_known(PAIR_FACTS, "_b", b, logps, facts),
    )


def _points(
    points: Sequence[tuple[Response, bool]], logps: Logps, facts: Facts, about: About
) -> PointLogps:
    responses = [response for response, _ in points]
    y = logps.of(responses)
    return PointLogps(
        y=y,
        ref=logps.known(facts.ref, responses, "ref"),
        desirable=torch.tensor([good for _, good in points], device=y.device),
        length=logps.column([len(r.tokens) for r in responses]),
        mean_length=torch.tensor(about.mean_length, dtype=y.dtype, device=y.device),
        mismatch=about.mismatch,
        whole=about.whole if isinstance(about.whole, PointLogps) else None,
    )


def samples(
    rows: Sequence[Row], logps: Logps, facts: Facts
) -> tuple[SampleLogps, Float[Tensor, " sample"]]:
    """A bonus's argument for these rows, and how much each sample counts: a row counts one."""
    found = [pair for row in rows for pair in facts.samples.get(name_of(row), ())]
    responses = [response for response, _ in found]
    s = SampleLogps(
        y=logps.of(responses),
        ref=logps.known(facts.ref, responses, "ref"),
        length=logps.column([len(r.tokens) for r in responses]),
        source=tuple(r.source for r in responses),
        **_known(SAMPLE_FACTS, "", responses, logps, facts),
    )
    return s, logps.column([weight for _, weight in found])


def _known(
    names: Sequence[str], side: str, responses: Sequence[Response], logps: Logps, facts: Facts
) -> dict[str, Any]:
    """The columns of these names that there are facts for."""
    known: dict[str, Known] = {name: getattr(facts, name) for name in names}
    return {
        name + side: logps.known(values, responses, name)
        for name, values in known.items()
        if values
    }
