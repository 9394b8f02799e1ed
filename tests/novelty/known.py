"""Rows that came a known number of times, and real texts to make rows of."""

from collections.abc import Sequence
from functools import cache

import numpy as np

from prefloop.features.lsa import Lsa
from prefloop.novelty._white import Whitener
from prefloop.testbed import MODEL
from prefloop.types import Novelty, Prompt, Response
from testbed.rows import review_sentences

TIMES = tuple(2**k for k in range(9))
"""1, 2, 4, …, 256"""


def units(count: int, width: int, seed: int = 0) -> np.ndarray:
    """Random rows of length one."""
    rows = np.random.default_rng(seed).normal(size=(count, width))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def collected(part: Novelty, rows: np.ndarray, times: Sequence[int]) -> np.ndarray:
    """Count each row so often, in random order, and read them all: equal shares of rows a number.

    Returns the readings as [number, row].
    """
    rows = rows[: len(rows) // len(times) * len(times)]
    visits = np.repeat(rows, np.repeat(times, len(rows) // len(times)), axis=0)
    part.fit(np.random.default_rng(0).permutation(visits))
    return part.score(rows).reshape(len(times), -1)


def slope(readings: np.ndarray, times: Sequence[int]) -> float:
    """d log(mean reading) / d log N: −0.5 for a count."""
    return float(np.polyfit(np.log(times), np.log(readings.mean(1)), 1)[0])


@cache
def sentences() -> list[Response]:
    """Two thousand and more different review sentences that nothing was fitted on."""
    texts = sorted({*review_sentences("valid"), *review_sentences("test")})
    order = np.random.default_rng(0).permutation(len(texts))
    return [Response(prompt=Prompt(text=""), text=texts[i]) for i in order]


@cache
def topics() -> np.ndarray:
    """The sentences' LSA features as unit rows, distinct ones only."""
    return whitened(Lsa().features(sentences()), sample=800)


@cache
def thoughts() -> np.ndarray:
    """The testbed model's last hidden states on some of the sentences, as distinct unit rows."""
    from prefloop.features.encoder import Encoder

    return whitened(Encoder(path=str(MODEL), device="cpu").features(sentences()[:900]), sample=600)


def whitened(features: np.ndarray, sample: int) -> np.ndarray:
    """Unit rows of a whitener that saw the first of them; those that are told apart."""
    whitener = Whitener()
    whitener.fit(features[:sample])
    rows = whitener.rows(features)
    kept = np.unique(rows.round(3), axis=0, return_index=True)[1]
    return rows[np.sort(kept)]
