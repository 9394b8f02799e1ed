"""Turn scores into preferences by the Bradley–Terry law."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from json import dumps
from math import isfinite, tanh
from typing import Literal, get_args

from prefloop import rng
from prefloop.oracles._border import finite, must_score, query_id
from prefloop.oracles._errors import OracleError
from prefloop.types import Answer, Missing, Query, Scorer

_Labels = Literal["sampled", "thresholded", "probability"]
_CHUNK = 64  # queries scored before their answers are handed over


@dataclass(frozen=True, kw_only=True)
class BradleyTerry:
    """P(a ≻ b) = σ(scale · (s(a) − s(b))), as a coin flip, a verdict or a probability.

    Bradley and Terry 1952. `labels` says what is answered: `sampled` flips a coin with that P (the
    same question, by its id, gets the same coin in any order), `thresholded` names the higher score
    (0.5 for equal ones), `probability` answers P itself.
    """

    scorer: Scorer
    scale: float = 1.0
    """0.1 is a careless annotator, 10 a careful one"""
    labels: _Labels = "sampled"
    seed: int = 0

    def __post_init__(self) -> None:
        must_score(self.scorer, "bradley_terry")
        if not (isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"scale must be positive and finite, got {self.scale}")
        if self.labels not in get_args(_Labels):
            raise ValueError(
                f"labels must be one of {', '.join(get_args(_Labels))}, got {self.labels!r}"
            )

    def ask(self, queries: Sequence[Query]) -> Iterator[Answer]:
        for start in range(0, len(queries), _CHUNK):
            chunk = queries[start : start + _CHUNK]
            for query, (a, b) in zip(chunk, self._scores(chunk), strict=True):
                yield Answer(
                    query_id=query_id(query),
                    p=self._label(query, a, b),
                    raw=dumps([s.reason if isinstance(s, Missing) else s for s in (a, b)]),
                    oracle="bradley_terry",
                )

    def _scores(self, queries: Sequence[Query]) -> Iterator[tuple[float | Missing, ...]]:
        responses = [response for query in queries for response in (query.a, query.b)]
        scores = [finite(score) for score in self.scorer.score(responses)]
        if len(scores) != len(responses):
            raise OracleError(
                f"a scorer must give one score per response, got {len(scores)} "
                f"for {len(responses)} from {type(self.scorer).__name__}"
            )
        return zip(scores[::2], scores[1::2], strict=True)

    def _label(self, query: Query, a: float | Missing, b: float | Missing) -> float | Missing:
        if isinstance(a, Missing):
            return a
        if isinstance(b, Missing):
            return b
        if self.labels == "thresholded":
            return 0.5 * ((a > b) - (a < b) + 1)
        p = (1 + tanh(self.scale * (a - b) / 2)) / 2
        if self.labels == "probability":
            return p
        return float(rng.stream(self.seed, "label", query_id(query)).random() < p)
