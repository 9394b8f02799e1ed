"""What a rule asks of its candidates, checked once."""

import numpy as np
from jaxtyping import Float

from prefloop.types import Candidates


def at_least_two(candidates: Candidates) -> int:
    """K; ValueError when there is nothing to compare."""
    count = len(candidates.responses)
    if count < 2:
        raise ValueError(
            f"candidates must be at least 2 to compare, got {count}; raise sample.sources"
        )
    return count


def mean_scores(candidates: Candidates) -> Float[np.ndarray, " candidate"]:
    """The members' mean score of each candidate; ValueError unless all are there and finite."""
    count = at_least_two(candidates)
    scores = candidates.scores
    if scores is None:
        raise ValueError(
            "candidates must be scored to be ranked, got no scores; set explore.scorer, "
            "for example explore.scorer=proxy"
        )
    if scores.ndim != 2 or not len(scores) or scores.shape[1] != count:
        raise ValueError(
            f"scores must be [member, candidate] for {count} candidates, got shape {scores.shape}"
        )
    if not np.isfinite(scores).all():
        raise ValueError(
            f"scores must be finite to rank candidates, got {scores.tolist()}; "
            "leave out the candidates that could not be scored"
        )
    mean: Float[np.ndarray, " candidate"] = scores.mean(0)
    return mean
