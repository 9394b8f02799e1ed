"""Answers that are already known."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prefloop.oracles._border import query_id
from prefloop.types import Answer, Missing, Preference, Query


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """Answers from a table: P(a ≻ b) by query id, or by a hash of what was asked.

    The same pair named the other way round is known too. What the table lacks is Missing.
    """

    answers: Mapping[str, float]

    def __post_init__(self) -> None:
        for key, p in self.answers.items():
            if not 0 <= p <= 1:
                raise ValueError(f"a recorded answer must lie in [0, 1], got {p} for {key!r}")

    @classmethod
    def of(cls, preferences: Iterable[Preference]) -> "Recorded":
        """The table of these preferences, whatever ids their queries have."""
        return cls(answers={_content(known.query): known.p for known in preferences})

    def ask(self, queries: Sequence[Query]) -> Iterator[Answer]:
        for query in queries:
            p = self._find(query)
            cost = 0.0 if isinstance(p, Missing) else 1.0
            yield Answer(query_id=query_id(query), p=p, cost=cost, oracle="recorded")

    def _find(self, query: Query) -> float | Missing:
        for key in (query_id(query), _content(query)):
            if key in self.answers:
                return self.answers[key]
        for key in (query_id(query).removesuffix("~swapped"), _content(query.swap())):
            if key in self.answers:
                return 1 - self.answers[key]
        return Missing("no answer is recorded for this pair")


def _content(query: Query) -> str:
    return query_id(Query(prompt=query.prompt, a=query.a, b=query.b))
