"""Ask about the file's pair, or for a share of the prompts about the policy's own."""

import numpy as np

from prefloop.explore._checks import at_least_two
from prefloop.types import Candidates, Source

needs = ("dataset",)


def file_or_policy(
    candidates: Candidates, rng: np.random.Generator, *, share: float = 0.3
) -> tuple[int, int]:
    """The first two of the policy with probability `share`, else the first two of the file.

    The route of a SAIL mixture (Ding et al. 2024, arXiv:2406.15567), drawn for each prompt. Where
    the policy's samples coincide there is nothing to compare, and the file's pair stands in.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be a probability, got {share}")
    at_least_two(candidates)
    own, given = _of(candidates, "policy"), _of(candidates, "dataset")
    if not own or len(given) < 2:
        raise ValueError(
            f"file_or_policy must have at least 2 to compare from the file and the policy, got "
            f"{len(given)} and {len(own)}; set sample.sources={{dataset: 2, policy: 2}}"
        )
    first, second, *_ = own if rng.random() < share and len(own) > 1 else given
    return first, second


def _of(candidates: Candidates, source: Source) -> list[int]:
    return [i for i, r in enumerate(candidates.responses) if r.source == source]
