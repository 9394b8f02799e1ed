"""Prefer what most candidates say, if most say it."""

from collections import Counter

import numpy as np

from prefloop.explore._checks import grouped, mean_scores
from prefloop.types import Candidates

needs = ("clusters", "scores")
may_decline = True


def largest_cluster(
    candidates: Candidates, rng: np.random.Generator, *, confidence: float = 0.5
) -> tuple[int, int] | None:
    """Index of the best member of the largest cluster, and one of those outside it, uniform.

    RLP-SPG (Lang et al. 2024, arXiv:2403.19279), with the `asserted` oracle: the first is the
    better one. None where the largest cluster holds a smaller share than `confidence`, or all; 0
    keeps every prompt ("Select-All"). Of equal clusters and of equal scores the first is taken.
    What most samples say tends to be longer, too: look at lengths.
    """
    if not 0 <= confidence <= 1:
        raise ValueError(f"confidence must lie in [0, 1], got {confidence}; it is a share")
    scores, ids = mean_scores(candidates), grouped(candidates)
    largest, size = Counter(ids).most_common(1)[0]
    others = [i for i, number in enumerate(ids) if number != largest]
    if size < confidence * len(ids) or not others:
        return None
    members = [i for i, number in enumerate(ids) if number == largest]
    return max(members, key=lambda i: scores[i]), int(rng.choice(others))
