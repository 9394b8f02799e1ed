"""Ask about the first two responses."""

import numpy as np

from prefloop.explore._checks import at_least_two
from prefloop.types import Candidates


def on_policy(candidates: Candidates, rng: np.random.Generator) -> tuple[int, int]:
    """The first two candidates: of independent samples, a pair drawn from π × π.

    Guo et al. 2024 (arXiv:2402.04792). The baseline: it spends labels where the policy has its
    mass, whatever is already known there.
    """
    at_least_two(candidates)
    return 0, 1
