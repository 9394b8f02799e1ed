"""Stop asking when the labels are spent."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from prefloop.oracles._border import must_compare, query_id
from prefloop.types import Answer, Missing, Oracle, Query


@dataclass
class _Account:
    """What was paid so far, and the dearest single answer: the price of the next one."""

    paid: float
    price: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Budget:
    """At most `limit` worth of the inner oracle's answers; the queries after that are Missing.

    A query is put to the inner oracle only when the dearest answer seen so far still fits, so
    the limit holds unless prices rise; while no price is known, queries are put one by one. `spent`
    is what earlier runs on the same ledger paid.
    """

    inner: Oracle
    limit: float
    """in the unit of `Answer.cost`: labels, unless the oracle says otherwise"""
    spent: float = 0.0
    _account: _Account = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        must_compare(self.inner, "budget")
        if not (self.limit >= 0 and self.spent >= 0):
            raise ValueError(
                f"limit and spent must not be negative, got {self.limit} and {self.spent}"
            )
        object.__setattr__(self, "_account", _Account(paid=self.spent))

    @property
    def left(self) -> float:
        """What may still be paid."""
        return max(0.0, self.limit - self._account.paid)

    def ask(self, queries: Sequence[Query]) -> Iterator[Answer]:
        start = 0
        while start < len(queries) and (count := self._affordable()):
            for answer in self.inner.ask(queries[start : start + count]):
                self._account.paid += answer.cost
                self._account.price = max(self._account.price, answer.cost)
                yield answer
            start += count
        for query in queries[start:]:
            spent = Missing(f"budget of {self.limit:g} labels is spent", final=True)
            yield Answer(query_id=query_id(query), p=spent, cost=0.0, oracle="budget")

    def _affordable(self) -> int:
        """How many queries may be put at once."""
        price = self._account.price
        return int(self.left / price + 1e-9) if price else int(self.left > 0)
