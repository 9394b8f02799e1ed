"""The testbed's features: latent semantic analysis of the review sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from safetensors.numpy import save_file
from scipy.sparse import csr_matrix
from sklearn.decomposition import TruncatedSVD
from testbed_data import Sentence, in_split, note, review_texts

from prefloop.testbed.classifier import WORD
from prefloop.testbed.lsa import LSA, Lsa

DIMENSIONS, LEAST_COUNT = 192, 24


def frequent_words(texts: Sequence[str]) -> dict[str, int]:
    """In how many of the texts each word occurs, for words that occur in enough of them."""
    seen = Counter(word for text in texts for word in set(WORD.findall(text.lower())))
    return {word: n for word, n in sorted(seen.items()) if n >= LEAST_COUNT}


def weighted(lsa: Lsa, texts: Sequence[str]) -> csr_matrix:
    """The texts' unit tf-idf vectors, one row each."""
    found = [lsa.weights(text) for text in texts]
    ends = np.cumsum([0, *(len(words) for words, _ in found)])
    words = np.concatenate([words for words, _ in found])
    values = np.concatenate([values for _, values in found])
    return csr_matrix((values, words, ends), (len(texts), len(lsa.idf)))


def make_lsa(rows: Sequence[Sentence]) -> None:
    """The right singular vectors of the train split's tf-idf matrix, in half precision."""
    texts = review_texts(rows, in_split("train"))
    counts = frequent_words(texts)
    idf = 1 + np.log((1 + len(texts)) / (1 + np.array([*counts.values()])))
    places = {word: i for i, word in enumerate(counts)}
    plain = Lsa(places, idf.astype(np.float16).astype(np.float64), np.eye(len(counts), 1))
    matrix = weighted(plain, texts)
    found = TruncatedSVD(DIMENSIONS, algorithm="arpack", random_state=0).fit(matrix)
    arrays = {
        "directions": np.ascontiguousarray(found.components_.T.astype(np.float16)),
        "idf": idf.astype(np.float16),
        "vocabulary": np.frombuffer("\n".join(counts).encode(), np.uint8),
    }
    save_file(arrays, LSA)
    LSA.chmod(0o644)
    facts = {"words": len(counts), "dimensions": DIMENSIONS, "fitted_on": len(texts)}
    share = (np.asarray(matrix @ Lsa.load().directions) ** 2).sum() / matrix.multiply(matrix).sum()
    note("lsa", facts | {"share": round(float(share), 4)})
