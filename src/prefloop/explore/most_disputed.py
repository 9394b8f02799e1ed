"""Ask about the pair whose margin the members are least agreed on."""

import numpy as np

from prefloop.explore._checks import member_scores
from prefloop.explore._pairs import disagreement, widest
from prefloop.types import Candidates

needs = ("members",)


def most_disputed(candidates: Candidates, rng: np.random.Generator) -> tuple[int, int]:
    """Indices (a, b), a < b, of the largest variance over members of score(a) − score(b).

    The variance of a difference is what one comparison can reduce; candidates that every member
    over- or under-rates alike cancel out. It is the ensemble's estimate of the squared width that
    max_uncertainty reads off the features (Xiong et al. 2023, arXiv:2312.11456).
    """
    return widest(disagreement(member_scores(candidates)))
