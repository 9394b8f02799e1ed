"""Responses whose embeddings point the same way."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from prefloop.clusters._rules import assign_once, by_first_appearance
from prefloop.features.lsa import Lsa
from prefloop.types import Features, Prompt, Response

NOTHING = Prompt(text="")


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """Like enough to a cluster's first member: cos(φ(y), φ(first)) ≥ threshold.

    The offline stand-in for an inference model (`entailment`): it knows what responses are about,
    not whether they say yes or no. Each response joins the first cluster that will have it, so that
    order matters where likeness is no equivalence. Responses are embedded without their prompt,
    which they share and which would make them alike. A response without direction (no known words)
    is like its own repetitions only.
    """

    features: Features = field(default_factory=Lsa)
    """what embeds a text: `lsa`, or {name: encoder, path: …}"""
    threshold: float = 0.1
    """for lsa, whose cosines of two samples are small; sentence encoders want about 0.8"""

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ValueError(
                f"threshold must lie in (0, 1], got {self.threshold}; it is the least cosine of "
                "two responses that say the same"
            )

    def clusters(self, responses: Sequence[Response]) -> tuple[int, ...]:
        texts = [r.text for r in responses]
        first = dict(zip(texts[::-1], responses[::-1], strict=True))
        order = list(dict.fromkeys(texts))
        found = self.features.features([replace(first[t], prompt=NOTHING) for t in order])
        ids = assign_once(_cosines(np.asarray(found, np.float64)) >= self.threshold)
        return by_first_appearance([ids[order.index(text)] for text in texts])


def _cosines(rows: Float[np.ndarray, "text feature"]) -> Float[np.ndarray, "text text"]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return np.asarray(unit @ unit.T).round(12)
