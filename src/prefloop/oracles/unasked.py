"""Pairs that nobody is asked about."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prefloop.oracles._border import must_compare, query_id
from prefloop.types import Answer, Oracle, Query


@dataclass(frozen=True, kw_only=True)
class Unasked:
    """Answers ½ at no cost for pairs of the policy's own samples; the inner oracle answers others.

    For losses that label those pairs by the policy itself, such as SAIL-PP (arXiv:2406.15567): a
    tie is then no claim. With any other loss such rows teach that the two are equally good.
    """

    inner: Oracle

    def __post_init__(self) -> None:
        must_compare(self.inner, "unasked")

    def ask(self, queries: Sequence[Query]) -> Iterator[Answer]:
        own = [q for q in queries if q.a.source == q.b.source == "policy"]
        for query in own:
            yield Answer(query_id=query_id(query), p=0.5, cost=0.0, oracle="unasked")
        others = [q for q in queries if q not in own]
        if others:
            yield from self.inner.ask(others)
