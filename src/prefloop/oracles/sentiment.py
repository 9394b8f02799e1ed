"""The testbed's gold reward."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt

from prefloop.testbed.classifier import Classifier
from prefloop.types import Missing, Response


@dataclass(frozen=True, kw_only=True)
class Sentiment:
    """Log-odds that prompt and response together are a positive review (fitted on human labels).

    A sum over words, so it grows with length; `length_normalize` divides it by √words.
    """

    length_normalize: bool = False

    @property
    def is_log_odds(self) -> bool:
        """Is σ(score) the probability of a positive text?"""
        return not self.length_normalize

    def score(self, responses: Sequence[Response]) -> list[float | Missing]:
        texts = [response.full_text for response in responses]
        scores = (float(score) for score in self._classifier.log_odds(texts))
        if not self.length_normalize:
            return list(scores)
        return [s / sqrt(len(text.split()) or 1) for s, text in zip(scores, texts, strict=True)]

    @cached_property
    def _classifier(self) -> Classifier:
        return Classifier.load("gold")
