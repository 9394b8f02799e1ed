"""Linear sentiment classifiers that need only numpy: the testbed's gold and proxy rewards."""

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

import numpy as np
from jaxtyping import Float
from safetensors import safe_open

Analyse = Callable[[str], list[int]]
"""The distinct features of a text, as indices into the weights."""

WORD: Final = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")


@dataclass(frozen=True)
class Classifier:
    """Log-odds that a text is positive: bias + Σ weight[i] over the text's distinct features i.

    A sum, so it grows with length. Both classifiers are fitted on human labels of single
    sentences (`scripts/make_testbed.py`); their accuracies are in the model card.
    """

    analyse: Analyse
    weight: Float[np.ndarray, " feature"]
    bias: float

    @classmethod
    def load(cls, name: Literal["gold", "proxy"]) -> "Classifier":
        """The shipped classifier of that name."""
        return cls.read(Path(__file__).parent / f"{name}.safetensors")

    @classmethod
    def read(cls, path: Path) -> "Classifier":
        """A classifier from its file: words if it holds a vocabulary, else hashed characters."""
        with safe_open(path, framework="numpy") as file:
            weight = file.get_tensor("weight").astype(np.float64)
            bias = float(file.get_tensor("bias")[0])
            if "vocabulary" in file.keys():  # noqa: SIM118 — not a mapping
                vocabulary = file.get_tensor("vocabulary").tobytes().decode().split("\n")
                return cls(known_words({w: i for i, w in enumerate(vocabulary)}), weight, bias)
        return cls(hashed_characters(len(weight)), weight, bias)

    def log_odds(self, texts: Sequence[str]) -> Float[np.ndarray, " text"]:
        """One score a text; zero is undecided, an empty text scores the bias."""
        return np.array([self.bias + self.weight[self.analyse(text)].sum() for text in texts])


def known_words(vocabulary: Mapping[str, int]) -> Analyse:
    """Distinct lower-cased words that the vocabulary has."""

    def analyse(text: str) -> list[int]:
        found = set(WORD.findall(text.lower()))
        return sorted(vocabulary[word] for word in found if word in vocabulary)

    return analyse


def hashed_characters(buckets: int) -> Analyse:
    """Distinct character 3- to 5-grams within lower-cased words, hashed by CRC-32."""

    @lru_cache(maxsize=2**16)
    def hashes(word: str) -> frozenset[int]:
        return frozenset(zlib.crc32(gram.encode()) % buckets for gram in grams(word))

    def analyse(text: str) -> list[int]:
        return sorted(frozenset().union(*map(hashes, WORD.findall(text.lower()))))

    return analyse


def grams(word: str) -> list[str]:
    """The 3- to 5-grams of a word with a space at each end: ` bad ` gives ` ba`, …, ` bad `."""
    spaced = f" {word} "
    return [spaced[i : i + n] for n in (3, 4, 5) for i in range(len(spaced) - n + 1)]
