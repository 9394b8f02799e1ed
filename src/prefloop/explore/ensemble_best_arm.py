"""Ask about a member's favourite and its most disputed rival."""

import numpy as np

from prefloop.explore._checks import member_scores
from prefloop.explore._pairs import disagreement, largest_other
from prefloop.types import Candidates

needs = ("members",)


def ensemble_best_arm(candidates: Candidates, rng: np.random.Generator) -> tuple[int, int]:
    """The best candidate of one member drawn at random, and its most disputed rival.

        a = argmax r_m,  b = argmax_{b ≠ a} Var_m [r_m(a) − r_m(b)]

    The best-arm-identification rule of SEA, Liu et al. 2024 (arXiv:2411.01493): for runs judged by
    the policy at the end, not by the responses on the way. The rival may be one that is surely
    worse and merely unknown by how much.
    """
    scores = member_scores(candidates)
    first = int(scores[rng.integers(len(scores))].argmax())
    return first, largest_other(disagreement(scores)[first], first)
