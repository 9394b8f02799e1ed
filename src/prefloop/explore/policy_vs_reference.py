"""Ask whether the policy's response beats the reference's."""

import numpy as np

from prefloop.explore._checks import at_least_two
from prefloop.types import Candidates, Source


def policy_vs_reference(candidates: Candidates, rng: np.random.Generator) -> tuple[int, int]:
    """The first response that the policy proposed and the first that the reference did.

    The pairing of XPO (Xie et al. 2024, arXiv:2405.21046): the reference's side keeps the labels
    anchored while the policy's side explores. Its mean label is the win rate against the reference.
    """
    at_least_two(candidates)
    return _first(candidates, "policy"), _first(candidates, "reference")


def _first(candidates: Candidates, source: Source) -> int:
    sources = [response.source for response in candidates.responses]
    if source not in sources:
        raise ValueError(
            f"policy_vs_reference needs a candidate from the {source}, got {', '.join(sources)}; "
            "set sample.sources={policy: 1, reference: 1}"
        )
    return sources.index(source)
