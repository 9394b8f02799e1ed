"""The testbed's proxy reward."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from prefloop.testbed.classifier import Classifier
from prefloop.types import Missing, Response


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A weaker sentiment classifier than the gold one: other features, fewer labels.

    It agrees with gold on most pairs but not on all, so that optimising it can go wrong.
    """

    path: str | None = None
    """another classifier's file, as `prefloop overoptimize` trains; default: the shipped one"""

    def score(self, responses: Sequence[Response]) -> list[float | Missing]:
        texts = [response.full_text for response in responses]
        return [float(score) for score in self._classifier.log_odds(texts)]

    @cached_property
    def _classifier(self) -> Classifier:
        return Classifier.load("proxy") if self.path is None else Classifier.read(Path(self.path))
