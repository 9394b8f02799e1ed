"""Ask whether the policy's response beats the reference's."""

import numpy as np

from prefloop.explore._sources import policy_and
from prefloop.types import Candidates

needs = ("reference",)


def policy_vs_reference(candidates: Candidates, rng: np.random.Generator) -> tuple[int, int]:
    """The first response that the policy proposed and the first that the reference did.

    The pairing of XPO (Xie et al. 2024, arXiv:2405.21046): the reference's side keeps the labels
    anchored while the policy's side explores. Its mean label is the win rate against the reference.
    """
    return policy_and(candidates, "reference", rule="policy_vs_reference")
