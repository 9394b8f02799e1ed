"""Candidates with everything that a rule may look at."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from prefloop.types import Candidates, Source
from worlds import candidates

SOURCES: dict[str, Source] = {
    "p": "policy",
    "h": "hot",
    "r": "reference",
    "v": "previous",
    "d": "dataset",
}


def options(
    count: int,
    *,
    scores: Sequence[Sequence[float]] | np.ndarray | None = None,
    features: Sequence[Sequence[float]] | np.ndarray | None = None,
    clusters: Sequence[int] | None = None,
    sources: str = "",
    logps: Sequence[float | None] = (),
    text: str = " text {}",
) -> Candidates:
    """So many candidates; `sources` has a letter each, all policy's if empty."""
    plain = candidates([text.format(i) for i in range(count)])
    responses = [
        replace(response, source=SOURCES[who], logp=logp)
        for response, who, logp in zip(
            plain.responses, sources or "p" * count, logps or [None] * count, strict=True
        )
    ]
    return replace(
        plain,
        responses=tuple(responses),
        scores=None if scores is None else np.array(scores, dtype=float),
        features=None if features is None else np.array(features, dtype=float),
        clusters=None if clusters is None else tuple(clusters),
    )
