"""VADER, a sentiment lexicon with rules: the testbed's held-out judge."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from prefloop.types import Missing, Response


@dataclass(frozen=True, kw_only=True)
class Vader:
    """Compound sentiment in [−1, 1] of prompt and response (Hutto and Gilbert 2014).

    Made by hand, so nothing trained on the testbed's labels shares its errors. About one review
    sentence in six scores exactly zero: no known word.
    """

    _analyzer: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

        object.__setattr__(self, "_analyzer", SentimentIntensityAnalyzer())

    def score(self, responses: Sequence[Response]) -> list[float | Missing]:
        texts = [response.full_text for response in responses]
        return [float(self._analyzer.polarity_scores(text)["compound"]) for text in texts]
