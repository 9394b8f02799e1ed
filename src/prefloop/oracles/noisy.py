"""Make an oracle err at a known rate."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from prefloop import rng
from prefloop.oracles._border import must_compare
from prefloop.types import Answer, Missing, Oracle, Query


@dataclass(frozen=True, kw_only=True)
class Noisy:
    """Flip the inner oracle's answer with probability `rate`: p becomes (1−rate)·p + rate·(1−p).

    That is the expected answer, which a loss can learn from as if the rate were known to it;
    `sampled` flips each answer or leaves it, as a careless annotator does.
    """

    inner: Oracle
    rate: float = 0.1
    sampled: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        must_compare(self.inner, "noisy")
        if not 0 <= self.rate <= 0.5:
            raise ValueError(
                f"rate must lie in [0, 0.5], got {self.rate}; "
                "an oracle that errs more often than not is a better one the other way round"
            )

    def ask(self, queries: Sequence[Query]) -> Iterator[Answer]:
        for answer in self.inner.ask(queries):
            yield replace(answer, p=self._flip(answer), oracle=f"noisy({answer.oracle})")

    def _flip(self, answer: Answer) -> float | Missing:
        if isinstance(answer.p, Missing):
            return answer.p
        rate = self.rate
        if self.sampled:
            rate = float(rng.stream(self.seed, "noise", answer.query_id).random() < rate)
        return (1 - rate) * answer.p + rate * (1 - answer.p)
