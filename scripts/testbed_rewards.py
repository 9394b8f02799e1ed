"""The testbed's rewards: gold and proxy, fitted on the human labels of `sentence_polarity`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from safetensors.numpy import save_file
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from testbed_data import TESTBED, Sentence, note

from prefloop.testbed.classifier import WORD, Analyse, Classifier, hashed_characters, known_words

PROXY_SEED, PROXY_SENTENCES, PROXY_BUCKETS = 3, 2000, 2**15


def labelled(rows: Sequence[Sentence], train: bool) -> tuple[list[str], np.ndarray]:
    """Texts and human labels of the polarity sentences: the train split, or all others."""
    kept = [r for r in rows if r.source == "sentence_polarity" and (r.split == "train") == train]
    return [row.text for row in kept], np.array([row.label for row in kept])


def matrix(analyse: Analyse, texts: Sequence[str], width: int) -> csr_matrix:
    """0/1 features, one row a text."""
    found = [analyse(text) for text in texts]
    ends = np.cumsum([0, *map(len, found)])
    return csr_matrix((np.ones(ends[-1]), np.concatenate(found), ends), (len(texts), width))


def fit(x: csr_matrix, y: np.ndarray, c: float) -> tuple[np.ndarray, float]:
    """NB-weighted logistic regression: logistic regression on x ∘ r, folded back into one weight.

    r = log((1 + Σ x[y=1]) / (1 + Σ x[y=0])), each normalised: Wang & Manning 2012 (ACL, P12-2018).
    """
    positive, negative = (1.0 + np.asarray(x[y == k].sum(0)).ravel() for k in (1, 0))
    r = np.log(positive / positive.sum()) - np.log(negative / negative.sum())
    found = LogisticRegression(C=c, max_iter=2000).fit(x.multiply(r).tocsr(), y)
    return found.coef_.ravel() * r, float(found.intercept_[0])


def save_classifier(name: str, weight: np.ndarray, bias: float, words: Sequence[str] = ()) -> None:
    """The file that `Classifier.read` reads."""
    arrays = {"weight": weight.astype(np.float32), "bias": np.array([bias], np.float32)}
    if words:
        arrays["vocabulary"] = np.frombuffer("\n".join(words).encode(), np.uint8)
    path = TESTBED / f"{name}.safetensors"
    save_file(arrays, path)
    path.chmod(0o644)


def accuracy(name: str, rows: Sequence[Sentence]) -> float:
    """Share of the held-out polarity sentences whose sign the shipped classifier gets right."""
    texts, labels = labelled(rows, train=False)
    scores = Classifier.read(TESTBED / f"{name}.safetensors").log_odds(texts)
    return round(float(((scores > 0) == labels).mean()), 4)


def make_gold(rows: Sequence[Sentence]) -> None:
    """Words seen at least twice; C = 0.3 was best in cross-validation within the train split."""
    texts, labels = labelled(rows, train=True)
    seen = Counter(word for text in texts for word in set(WORD.findall(text)))
    words = sorted(word for word, n in seen.items() if n >= 2)
    analyse = known_words({word: i for i, word in enumerate(words)})
    save_classifier("gold", *fit(matrix(analyse, texts, len(words)), labels, 0.3), words)
    facts = {"features": len(words), "fitted_on": len(texts), "accuracy": accuracy("gold", rows)}
    note("gold", facts)


def make_proxy(rows: Sequence[Sentence]) -> None:
    """Character n-grams on a small sample, so that proxy and gold err in different places."""
    texts, labels = labelled(rows, train=True)
    few = np.random.default_rng(PROXY_SEED).permutation(len(texts))[:PROXY_SENTENCES]
    sample = matrix(hashed_characters(PROXY_BUCKETS), [texts[i] for i in few], PROXY_BUCKETS)
    save_classifier("proxy", *fit(sample, labels[few], 0.1))
    facts = {"features": PROXY_BUCKETS, "fitted_on": len(few), "seed": PROXY_SEED}
    note("proxy", facts | {"accuracy": accuracy("proxy", rows)})
