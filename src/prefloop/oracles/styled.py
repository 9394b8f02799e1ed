"""A gold reward that also likes a rare style: the testbed on which exploration should matter."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite

from prefloop.oracles._border import must_score
from prefloop.oracles.sentiment import Sentiment
from prefloop.oracles.style import Style
from prefloop.types import Missing, Response, Scorer


@dataclass(frozen=True, kw_only=True)
class Styled:
    """The inner score, and `worth` more where the response has the style of `style`.

    Once a response, however often it has it. A policy that is never asked about the style cannot
    learn that it is liked, and a proxy that does not know it never chooses it.
    """

    inner: Scorer = field(default_factory=Sentiment)
    worth: float = 2.0
    """in units of the inner score; the default is as much as sentiment gains in a demo run"""

    def __post_init__(self) -> None:
        must_score(self.inner, "styled")
        if not isfinite(self.worth):
            raise ValueError(f"worth must be finite, got {self.worth}")

    def score(self, responses: Sequence[Response]) -> list[float | Missing]:
        inner, style = self.inner.score(responses), Style().score(responses)
        return [_sum(s, has, self.worth) for s, has in zip(inner, style, strict=True)]


def _sum(score: float | Missing, has: float | Missing, worth: float) -> float | Missing:
    if isinstance(score, Missing) or isinstance(has, Missing):
        return score
    return score + worth * has
