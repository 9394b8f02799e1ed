"""Latent semantic analysis that needs only numpy: the testbed's features."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float, Int
from safetensors import safe_open

from prefloop.testbed.classifier import WORD

LSA: Final = Path(__file__).parent / "lsa.safetensors"


@dataclass(frozen=True)
class Lsa:
    """A text as its unit tf-idf vector, seen along the directions in which texts vary most.

    Deerwester et al. 1990. A word's weight is (1 + log of its count) · idf. Fitted on review
    sentences, no labels (`scripts/make_testbed.py`); words it does not know count for nothing, and
    a text without known words is zero.
    """

    places: Mapping[str, int]
    """word → row"""
    idf: Float[np.ndarray, " word"]
    directions: Float[np.ndarray, "word feature"]

    @classmethod
    def load(cls) -> "Lsa":
        """The shipped one."""
        with safe_open(LSA, framework="numpy") as file:
            words = file.get_tensor("vocabulary").tobytes().decode().split("\n")
            idf, directions = (file.get_tensor(name) for name in ("idf", "directions"))
        places = {word: i for i, word in enumerate(words)}
        return cls(places, idf.astype(np.float64), directions.astype(np.float32))

    def vectors(self, texts: Sequence[str]) -> Float[np.ndarray, "text feature"]:
        """One vector a text, each depending on nothing but its text."""
        found = np.zeros((len(texts), self.directions.shape[1]))
        for row, text in enumerate(texts):
            words, values = self.weights(text)
            found[row] = values @ self.directions[words]
        return found

    def weights(self, text: str) -> tuple[Int[np.ndarray, " known"], Float[np.ndarray, " known"]]:
        """The text's known words, as rows, and their share of its unit tf-idf vector."""
        counts = Counter(word for word in WORD.findall(text.lower()) if word in self.places)
        words = np.array(sorted(self.places[word] for word in counts), dtype=np.int64)
        by_place = {self.places[word]: n for word, n in counts.items()}
        values = np.array([1 + np.log(by_place[word]) for word in words.tolist()]) * self.idf[words]
        return words, values / (np.linalg.norm(values) or 1)
