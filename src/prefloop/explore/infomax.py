"""Ask about the pair whose answer the members are least agreed on."""

import numpy as np

from prefloop.explore._checks import member_scores
from prefloop.explore._pairs import gaps, widest
from prefloop.types import Candidates

needs = ("members",)


def infomax(candidates: Candidates, rng: np.random.Generator) -> tuple[int, int]:
    """Indices (a, b), a < b, of the largest variance over members of their P(a ≻ b).

        argmax Var_m σ(r_m(a) − r_m(b))

    Dwaracherla et al. 2024 (arXiv:2402.00396). Unlike most_disputed it passes over pairs whose
    answer is certain whatever the margin: σ is flat there. It does not care which is any good.
    """
    above_half = np.tanh(gaps(member_scores(candidates)) / 2) / 2  # σ − ½, exactly odd: ties stay
    return widest(above_half.var(0, ddof=1))
