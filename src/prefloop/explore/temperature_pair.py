"""Ask whether the policy's response beats a bolder one of its own."""

import numpy as np

from prefloop.explore._sources import policy_and
from prefloop.types import Candidates

needs = ("hot",)


def temperature_pair(candidates: Candidates, rng: np.random.Generator) -> tuple[int, int]:
    """The policy's first response and its first at a higher temperature.

    The cheapest stand-in for the enhancer of Xiong et al. 2023 (arXiv:2312.11456): the same model,
    flattened, wanders where the policy does not. It needs no uncertainty, and so cannot tell what
    is already known from what is not. The hot side's own log-probability, not that of the
    temperature it was drawn at, is what the loss sees.
    """
    return policy_and(candidates, "hot", rule="temperature_pair")
