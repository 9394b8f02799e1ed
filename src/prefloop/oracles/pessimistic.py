"""A lower confidence bound on an ensemble's reward."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from prefloop.oracles._border import finite, must_score
from prefloop.types import Missing, Response, Scorer


@dataclass(frozen=True, kw_only=True)
class Pessimistic:
    """LCB: the members' mean score less `scale` times their standard deviation.

    Xiong et al. 2024, option II (arXiv:2312.11456), with an ensemble's spread for the width: what
    the members disagree about is not optimised. Members must rate on one scale; the spread is a
    stand-in for ‖φ − ν‖ in Σ⁻¹, and says nothing of an error that all of them make.
    """

    scorers: tuple[Scorer, ...]
    scale: float = 1.0

    def __post_init__(self) -> None:
        for scorer in self.scorers:
            must_score(scorer, "pessimistic")
        if len(self.scorers) < 2:
            raise ValueError(
                f"pessimistic needs at least 2 scorers to disagree, got {len(self.scorers)}"
            )
        if not self.scale >= 0:
            raise ValueError(f"scale must be at least 0, got {self.scale}; below it is optimism")

    def score(self, responses: Sequence[Response]) -> list[float | Missing]:
        columns = [scorer.score(responses) for scorer in self.scorers]
        return [self._bound([finite(s) for s in row]) for row in zip(*columns, strict=True)]

    def _bound(self, scores: Sequence[float | Missing]) -> float | Missing:
        known = [s for s in scores if not isinstance(s, Missing)]
        if len(known) < len(scores):
            return next(s for s in scores if isinstance(s, Missing))
        return fmean(known) - self.scale * stdev(known)
