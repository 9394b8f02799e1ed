"""Ask about two candidates that statistical rejection sampling accepts."""

import numpy as np

from prefloop.explore._checks import mean_scores
from prefloop.types import Candidates

aliases = ("statistical_rejection",)
needs = ("scores",)


def rso(candidates: Candidates, rng: np.random.Generator, *, beta: float = 0.5) -> tuple[int, int]:
    """Indices of the two candidates accepted first on the way from π₀ to π₀ · exp(r/β).

        in a random order, again and again until there are two, without replacement:
        accept i with probability exp((r_i − max r of those left when the pass began) / β)

    Liu et al. 2024 (arXiv:2309.06657): the pairs come from nearer to the policy that DPO is to
    find than the candidates do. β → ∞ takes any two, β → 0 the best two; the best of those left is
    accepted in every pass that gets to it, so two passes suffice. The better one is named first.
    """
    if not beta > 0:
        raise ValueError(f"beta must be positive, got {beta}; it is the KL weight aimed for")
    scores = mean_scores(candidates)
    accepted: list[int] = []
    left = rng.permutation(len(scores))
    while len(accepted) < 2:
        chances = np.exp((scores[left] - scores[left].max()) / beta)
        passes = rng.random(len(left)) < chances
        accepted += left[passes].tolist()
        left = left[~passes]
    first, second = sorted(accepted[:2], key=lambda place: -scores[place])
    return int(first), int(second)
