"""Ask about the response the scorer likes most and the one it likes least."""

import numpy as np

from prefloop.explore._checks import mean_scores
from prefloop.types import Candidates

needs = ("scores",)


def best_worst(candidates: Candidates, rng: np.random.Generator) -> tuple[int, int]:
    """Indices of the highest and the lowest mean score over the ensemble, in this order.

    Dong et al. 2024 (arXiv:2405.07863). Of equal scores the earliest is best and the latest worst,
    so that the two differ and no randomness is used. Wide pairs are easy to label; they also move
    the policy to wherever the scorer errs.
    """
    order = np.argsort(-mean_scores(candidates), kind="stable")
    return int(order[0]), int(order[-1])
