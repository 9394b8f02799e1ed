"""Ask whether the policy's response beats the one of a round before."""

import numpy as np

from prefloop.explore._sources import policy_and
from prefloop.types import Candidates

needs = ("previous",)


def checkpoint_pair(candidates: Candidates, rng: np.random.Generator) -> tuple[int, int]:
    """The policy's first response and the first of the policy a round before.

    The checkpoint variation of Xiong et al. 2023 (arXiv:2312.11456). Its mean label is the win rate
    over the last round, so that it also says when rounds stop helping; once the two policies
    agree it is on_policy.
    """
    return policy_and(candidates, "previous", rule="checkpoint_pair")
