"""What a prompt's label is worth, for runs with fewer labels than prompts: the most are asked."""

from collections.abc import Callable

import numpy as np

from prefloop.explore._checks import member_scores, placed
from prefloop.types import Candidates

Value = Callable[[Candidates, tuple[int, int]], float]


def disputed(candidates: Candidates, pair: tuple[int, int]) -> float:
    """The members' variance of score(a) − score(b)."""
    scores = member_scores(candidates)
    return float((scores[:, pair[0]] - scores[:, pair[1]]).var(ddof=1))


def unsure(candidates: Candidates, pair: tuple[int, int]) -> float:
    """The width of the reward difference, ‖φ(a) − φ(b)‖."""
    features = placed(candidates)
    return float(np.sqrt(((features[pair[0]] - features[pair[1]]) ** 2).sum()))


def entropy(candidates: Candidates, pair: tuple[int, int]) -> float:
    """The policy's entropy at this prompt in nats, estimated by the mean of −log π(y).

    The prompt half of active preference learning, Muldrew et al. 2024 (arXiv:2402.08114): prompts
    of *high* entropy are asked about. oat's port sorts by mean log π and keeps the top, which is
    the lowest entropy. The pair does not matter; only samples of the policy count. Repetitions
    count too, so give it the candidates as drawn.
    """
    own = [response for response in candidates.responses if response.source == "policy"]
    known = [response.logp for response in own if response.logp is not None]
    if not own or len(known) < len(own):
        raise ValueError(
            f"entropy needs log π of the policy's own candidates, got {len(known)} for {len(own)} "
            "of them; set sample.sources={policy: 4}, or explore.prompts=any"
        )
    return -float(np.mean(known))


PROMPTS: dict[str, Value] = {"disputed": disputed, "unsure": unsure, "entropy": entropy}
"""by the name that explore.prompts knows them by"""
