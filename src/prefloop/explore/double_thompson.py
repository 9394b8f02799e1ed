"""Ask about the favourites of two members of the ensemble."""

import numpy as np

from prefloop.explore._checks import member_scores
from prefloop.explore._pairs import disagreement, largest_other
from prefloop.types import Candidates

needs = ("members",)


def double_thompson(candidates: Candidates, rng: np.random.Generator) -> tuple[int, int]:
    """The best candidate of one member drawn at random, and that of the next who thinks otherwise.

        a = argmax r_m,  b = argmax r_m',  m' drawn without replacement until b ≠ a

    Double Thompson sampling, Dwaracherla et al. 2024 (arXiv:2402.00396); the E&E rule of Liu et al.
    2024 (arXiv:2411.01493). Both sides may be the best, so no label is spent on a candidate that
    every member thinks is bad, however unsure they are how bad. Where all members have the same
    favourite, b is the candidate whose difference from it they dispute most.
    """
    scores = member_scores(candidates)
    favourites = scores.argmax(1)[rng.permutation(len(scores))]
    first = int(favourites[0])
    others = favourites[favourites != first]
    if len(others):
        return first, int(others[0])
    return first, largest_other(disagreement(scores)[first], first)
