"""Ask about the pair that the policy itself rates most differently."""

import numpy as np

from prefloop.explore._checks import mean_scores
from prefloop.explore._pairs import widest
from prefloop.types import Candidates

needs = ("implicit",)


def apl(candidates: Candidates, rng: np.random.Generator) -> tuple[int, int]:
    """Indices (a, b), a < b, of the largest difference |r_a − r_b| of scores.

    The pair half of active preference learning, Muldrew et al. 2024 (arXiv:2402.08114), where the
    score is the policy's implicit reward log π − log π_ref; by a scorer's it would be best_worst.
    The other half chooses prompts: set explore.prompts=entropy.
    """
    mean = mean_scores(candidates)
    return widest(np.abs(mean[:, None] - mean[None, :]))
