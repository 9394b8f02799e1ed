"""Ask about the policy's response and the farthest that is still likely enough."""

import numpy as np

from prefloop.explore._checks import placed
from prefloop.explore._pairs import distances
from prefloop.explore._sources import policy_own
from prefloop.types import Candidates

needs = ("features",)


def enhancer(
    candidates: Candidates, rng: np.random.Generator, *, beta: float = 0.1, scale: float = 1.0
) -> tuple[int, int]:
    """The policy's first response and the farthest of its others, if far enough for its rank.

        b = argmax_n Γ_n,  Γ_n = scale · ‖φ(a) − φ(y_n)‖,  over n with β (log n − (n−1)/n) ≤ Γ_n

    The enhancer of Xiong et al. 2023 (arXiv:2312.11456) maximises the width Γ over the policies π'
    with β KL(π'‖π) ≤ Γ. Candidates say nothing about other policies; but the choice of one of n
    samples of π is one, with a KL from π of at most log n − (n−1)/n (arXiv:2401.01879). So this is
    the widest best of n that pays for its KL, and candidates of other sources are left out. Where
    nothing is uncertain any more n is 1: the rule is on_policy. Set beta to the loss's.
    """
    a, *others = policy_own(candidates, 2, rule="enhancer")
    far = scale * distances(placed(candidates), a)[others]
    n = np.arange(1, len(others) + 1)
    paid = beta * (np.log(n) - (n - 1) / n) <= far
    return a, others[int(np.where(paid, far, -np.inf).argmax())]
