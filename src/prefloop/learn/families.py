"""From rows and what a model said of their responses to the argument of a loss.

The tensor family of a loss, or of a reward model's, is the type of its first argument. Everything
here is a reading of columns; nothing runs a model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.batches import (
    ListScores,
    PairLogps,
    PairScores,
    PointLogps,
    PointScores,
    SampleLogps,
    SplitScores,
    TokenLogps,
)
from prefloop.learn.facts import Facts, Known, Row, labelled, name_of, responses_of
from prefloop.learn.values import Logps, TokenValues
from prefloop.types import Preference, Ranking, Rating, Response

Family = type[Any]
PAIR_FACTS = ("prev", "win", "width")
SAMPLE_FACTS = ("drawn", "novelty")


def family(loss: object) -> Family:
    """The tensor family of a loss: the type of its first argument."""
    target = getattr(loss, "func", loss)
    found: Family = next(iter(get_type_hints(target).values()))
    if found not in _MAKERS:
        known = ", ".join(kind.__name__ for kind in _MAKERS)
        raise TypeError(f"{target} takes {found}; a learner can give it one of {known}")
    return found


@dataclass(frozen=True, kw_only=True)
class About:
    """What a micro-batch is told about the whole accumulated batch, on all ranks."""

    count: int
    """loss values in it"""
    rows: int
    mean_length: float
    """response tokens, on average"""
    whole: Any = None
    mismatch: Float[Tensor, " stranger"] | None = None

    @classmethod
    def of(cls, rows: Sequence[Row], kind: Family, heads: int = 1) -> "About":
        """Of these rows; what must be computed by the policy is added later."""
        lengths = [len(r.tokens) for row in rows for r in responses_of(row)]
        counts: dict[Family, Callable[[Row], int]] = {
            PointLogps: lambda row: len(labelled(row)),
            TokenLogps: lambda row: sum(len(r.tokens) for r in responses_of(row)),
            PointScores: lambda row: 1,
            SplitScores: lambda row: 1,
        }
        count = sum(map(counts.get(kind, lambda row: heads), rows))
        return cls(count=count, rows=len(rows), mean_length=sum(lengths) / len(lengths))


def batch(kind: Family, rows: Sequence[Row], said: Any, facts: Facts, about: About) -> Any:
    """The loss's argument for these rows; TypeError where they are of another kind."""
    maker, wanted = _MAKERS[kind]
    for row in rows:
        if not isinstance(row, wanted):
            raise TypeError(f"{kind.__name__} is made of {wanted}, got a {type(row).__name__}")
    return maker(rows, said, facts, about)


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


def _points(rows: Sequence[Row], logps: Logps, facts: Facts, about: About) -> PointLogps:
    points = [point for row in rows for point in labelled(row)]
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


def _tokens(rows: Sequence[Response], said: TokenValues, facts: Facts, about: About) -> TokenLogps:
    y = said.rows(said.y, rows)
    worth = [facts.credit[r.id] for r in rows]
    lengths = torch.tensor([len(r.tokens) for r in rows], device=y.device)
    whose = torch.arange(len(rows), device=y.device).repeat_interleave(lengths)

    def column(name: str) -> Tensor | None:
        found = [getattr(one, name) for one in worth]
        return None if found[0] is None else torch.cat(found).to(y)

    return TokenLogps(
        y=y,
        **{name: column(name) for name in ("old", "advantage", "returns")},  # type: ignore[arg-type]
        old_value=column("value"),
        value=None if said.value is None else said.rows(said.value, rows),
        response=whose,
        mean_length=torch.tensor(about.mean_length, dtype=y.dtype, device=y.device),
    )


def _pair_scores(rows: Sequence[Preference], said: Logps, facts: Facts, about: About) -> PairScores:
    """Every head's scores of every pair, head after head."""
    a, b = said.of([row.query.a for row in rows]), said.of([row.query.b for row in rows])
    heads, strengths = a.shape[1], [row.strength for row in rows]
    known = [s for s in strengths if s is not None]
    return PairScores(
        a=a.T.flatten(),
        b=b.T.flatten(),
        p=said.column([row.p for row in rows]).repeat(heads),
        strength=said.column(known).repeat(heads) if len(known) == len(rows) else None,
    )


def _split_scores(
    rows: Sequence[Preference], said: Logps, facts: Facts, about: About
) -> SplitScores:
    a, b = [row.query.a for row in rows], [row.query.b for row in rows]
    return SplitScores(
        a=said.of(a),
        b=said.of(b),
        p=said.column([row.p for row in rows]),
        len_a=said.column([len(r.tokens) for r in a]),
        len_b=said.column([len(r.tokens) for r in b]),
        whole=about.whole if isinstance(about.whole, SplitScores) else None,
    )


def _list_scores(rows: Sequence[Ranking], said: Logps, facts: Facts, about: About) -> ListScores:
    scores = said.of([r for row in rows for r in row.responses])
    heads = scores.shape[1]
    numbers = [i for i, row in enumerate(rows) for _ in row.responses]
    lists = torch.tensor(numbers, device=scores.device)
    return ListScores(
        score=scores.T.flatten(),
        rank=said.column([rank for row in rows for rank in row.ranks]).repeat(heads),
        list=torch.cat([lists + head * len(rows) for head in range(heads)]),
    )


def _point_scores(rows: Sequence[Rating], said: Logps, facts: Facts, about: About) -> PointScores:
    scores = said.of([row.response for row in rows])
    target = torch.tensor([row.values for row in rows], dtype=scores.dtype, device=scores.device)
    return PointScores(score=scores, target=target)


_MAKERS: dict[Family, tuple[Callable[..., Any], Any]] = {
    PairLogps: (_pairs, Preference),
    PointLogps: (_points, Preference | Response),
    TokenLogps: (_tokens, Response),
    PairScores: (_pair_scores, Preference),
    SplitScores: (_split_scores, Preference),
    ListScores: (_list_scores, Ranking),
    PointScores: (_point_scores, Rating),
}
"""family → how it is made, and of which rows"""


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
