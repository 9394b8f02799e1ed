"""Ask about the response the scorer likes most and another one at random."""

import numpy as np

from prefloop.explore._checks import mean_scores
from prefloop.types import Candidates

needs = ("scores",)


def best_random(candidates: Candidates, rng: np.random.Generator) -> tuple[int, int]:
    """Index of the highest mean score (the earliest of equals), and one of the others, uniform.

    Less wide than best against worst, and more varied. Where another text exists, a repetition
    of the best one is not drawn.
    """
    best = int(mean_scores(candidates).argmax())
    texts = [response.text for response in candidates.responses]
    others = [i for i, text in enumerate(texts) if i != best]
    distinct = [i for i in others if texts[i] != texts[best]]
    return best, int(rng.choice(distinct or others))
