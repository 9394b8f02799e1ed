"""Ask about the file's pair, or for a share of the prompts about the policy's own."""

import numpy as np

from prefloop.types import Candidates


def file_or_policy(
    candidates: Candidates, rng: np.random.Generator, *, share: float = 0.3
) -> tuple[int, int]:
    """The first two of the policy with probability `share`, else the first two of the file.

    The route of a SAIL mixture (Ding et al. 2024, arXiv:2406.15567): per prompt, not per batch.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be a probability, got {share}")
    own, given = _two(candidates, "policy"), _two(candidates, "dataset")
    return own if rng.random() < share else given


def _two(candidates: Candidates, source: str) -> tuple[int, int]:
    found = [i for i, r in enumerate(candidates.responses) if r.source == source]
    if len(found) < 2:
        raise ValueError(
            f"file_or_policy must have at least 2 to compare from the {source}, got {len(found)}; "
            "set sample.sources={dataset: 2, policy: 2}"
        )
    return found[0], found[1]
