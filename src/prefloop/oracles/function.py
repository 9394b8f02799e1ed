"""Your own function as an oracle or a scorer."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prefloop.oracles._border import finite, query_id
from prefloop.oracles._errors import OracleError
from prefloop.plugins import load
from prefloop.types import Answer, Missing, Query, Response


@dataclass(frozen=True, kw_only=True)
class Function:
    """A Python function that judges: a list of queries in, one P(a ≻ b) per query out.

    `target` is the function or its "module:function". As a scorer it gets responses and returns one
    score each. What is not a probability (None, NaN, 1.2, "A") is a Missing label for that query; a
    wrong number of answers, or an exception, is an OracleError.
    """

    target: str | Callable[..., Any]
    cost: float = 1.0
    """what one answer costs"""

    def __post_init__(self) -> None:
        if not callable(self._function):
            raise ValueError(f"target must be a function, got {self._function!r}")

    def ask(self, queries: Sequence[Query]) -> Iterator[Answer]:
        for query, value in zip(queries, self._call(queries), strict=True):
            yield Answer(
                query_id=query_id(query),
                p=_probability(value),
                raw=repr(value),
                cost=self.cost,
                oracle=self._name,
            )

    def score(self, responses: Sequence[Response]) -> list[float | Missing]:
        return [finite(value) for value in self._call(responses)]

    def _call(self, items: Sequence[Query] | Sequence[Response]) -> list[Any]:
        if not items:
            return []
        try:
            values = self._function(list(items))
            if isinstance(values, Iterable) and not isinstance(values, str | bytes | Mapping):
                values = list(values)
        except Exception as error:  # the user's code may raise anything; the run names who did
            raise OracleError(f"{self._name} raised {type(error).__name__}: {error}") from error
        if not isinstance(values, list) or len(values) != len(items):
            got = f"{len(values)} answers" if isinstance(values, list) else repr(values)
            raise OracleError(
                f"{self._name} must return a list with one number for each of the {len(items)} "
                f"items it was given, got {got}"
            )
        return values

    @property
    def _function(self) -> Any:
        return load(self.target) if isinstance(self.target, str) else self.target

    @property
    def _name(self) -> str:
        if isinstance(self.target, str):
            return self.target
        inner = getattr(self.target, "func", self.target)  # behind a functools.partial
        name = getattr(inner, "__qualname__", type(inner).__name__)
        return f"{getattr(inner, '__module__', '')}:{name}"


def _probability(value: Any) -> float | Missing:
    p = finite(value)
    if isinstance(p, Missing) or 0 <= p <= 1:
        return p
    return Missing(f"expected a probability in [0, 1], got {value!r}")
