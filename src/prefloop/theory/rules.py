"""A rule that needs the whole law of a finite world: a yardstick for those of `explore/`."""

import numpy as np
from jaxtyping import Float

from prefloop.explore._checks import member_scores
from prefloop.types import Candidates

needs = ("members",)


def gibbs_thompson(
    candidates: Candidates, rng: np.random.Generator, *, beta: float
) -> tuple[int, int]:
    """A draw from each of the tilts π₀ exp(r_m/β)/Z of two posterior samples r_m.

    Double Thompson sampling as soft as the policy itself. The candidates are all responses, as the
    reference has them; where the two draws coincide nothing is asked.
    """
    scores = member_scores(candidates)
    prior = np.array([response.logp for response in candidates.responses], dtype=float)
    return _draw(prior + scores[0] / beta, rng), _draw(prior + scores[1] / beta, rng)


def _draw(logits: Float[np.ndarray, " candidate"], rng: np.random.Generator) -> int:
    """By the Gumbel trick."""
    return int((logits + rng.gumbel(size=len(logits))).argmax())
