"""Ask about the policy's response and the one whose rank beside it is least known."""

import numpy as np

from prefloop.explore._checks import placed
from prefloop.explore._pairs import distances, largest_other
from prefloop.explore._sources import policy_own
from prefloop.types import Candidates

needs = ("features",)


def max_uncertainty(candidates: Candidates, rng: np.random.Generator) -> tuple[int, int]:
    """The policy's first response as it comes, and the candidate least comparable with it so far.

        b = argmax ‖φ(a) − φ(b)‖ in Σ⁻¹,  Σ = λI + Σ δδᵀ over the comparisons made

    Xiong et al. 2023 (arXiv:2312.11456). The first side keeps labels where the policy has its mass.
    Labels change the width only by where they were asked, never by what was said.
    """
    a = policy_own(candidates, 1, rule="max_uncertainty")[0]
    return a, largest_other(distances(placed(candidates), a), a)
