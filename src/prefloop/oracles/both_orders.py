"""Cancel a judge's position bias by asking both ways round."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from json import dumps

from prefloop.oracles._border import must_compare, query_id
from prefloop.types import Answer, Missing, Oracle, Query


@dataclass(frozen=True, kw_only=True)
class BothOrders:
    """Average the inner oracle's answer to (a, b) with one minus its answer to (b, a).

    Costs both. Answers as soon as both halves are in; Missing if either is. A bias that adds to P
    cancels exactly; one that adds to the logit is only shrunk towards a tie.
    """

    inner: Oracle

    def __post_init__(self) -> None:
        must_compare(self.inner, "both_orders")

    def ask(self, queries: Sequence[Query]) -> Iterator[Answer]:
        there = [replace(query, id=query_id(query)) for query in queries]
        back = [query.swap() for query in there]
        original = {b.id: t.id for t, b in zip(there, back, strict=True)}
        halves: dict[str, list[Answer]] = {}
        both = [query for pair in zip(there, back, strict=True) for query in pair]
        for answer in self.inner.ask(both):
            halves.setdefault(answer.query_id, []).append(answer)
            name = original.get(answer.query_id, answer.query_id)
            first, second = halves.get(name), halves.get(name + "~swapped")
            if first and second:
                yield _average(first.pop(0), second.pop(0))


def _average(there: Answer, back: Answer) -> Answer:
    p: float | Missing
    if isinstance(there.p, Missing):
        p = there.p
    elif isinstance(back.p, Missing):
        p = back.p
    else:
        p = (there.p + 1 - back.p) / 2
    return replace(
        there,
        p=p,
        raw=dumps([there.raw, back.raw], ensure_ascii=False),
        cost=there.cost + back.cost,
        oracle=f"both_orders({there.oracle})",
        asked_at=max(there.asked_at, back.asked_at),
    )
