"""Pairs whose better one was named by whoever chose them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prefloop.oracles._border import query_id
from prefloop.types import Answer, Query

exempt = {
    "naming_the_pair_the_other_way_round_swaps_the_answer": (
        "it believes the rule that names the better one first, and looks at nothing else"
    ),
}


@dataclass(frozen=True, kw_only=True)
class Asserted:
    """The first is better, at no cost: nobody is asked. Two equal texts are a tie.

    Only for rules that name the better one first, such as `largest_cluster` (RLP-SPG). With any
    other rule it labels at random, or by the order of the candidates.
    """

    def ask(self, queries: Sequence[Query]) -> Iterator[Answer]:
        for query in queries:
            p = 0.5 if query.a.text == query.b.text else 1.0
            yield Answer(query_id=query_id(query), p=p, cost=0.0, oracle="asserted")
