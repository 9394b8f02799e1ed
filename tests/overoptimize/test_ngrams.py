"""The linear proxy is the minimum it claims to be, and its file reads back."""

from pathlib import Path

import numpy as np
import pytest

from prefloop.oracles.proxy import Proxy
from prefloop.overoptimize import ngrams
from prefloop.testbed.classifier import Classifier
from prefloop.types import Prompt, Response

GOOD, BAD = ("kind", "warm", "bright", "fine"), ("dull", "grim", "stale", "flat")
PAIRS = [(f"a {g} film", f"a {b} film") for g in GOOD for b in BAD]


def test_it_is_where_the_slope_of_its_loss_is_zero():
    """∂/∂w = Σ (σ(w·δ) − p) δ + ridge w, by a dense plain loop."""
    p = np.random.default_rng(0).random(len(PAIRS)).tolist()
    found = ngrams.fit(PAIRS, p)
    slope = ngrams.RIDGE * found.weight
    for (a, b), target in zip(PAIRS, p, strict=True):
        delta = np.zeros(ngrams.BUCKETS)
        delta[found.analyse(a)] += 1
        delta[found.analyse(b)] -= 1
        slope = slope + (1 / (1 + np.exp(-found.weight @ delta)) - target) * delta
    assert np.abs(slope).max() < 1e-4
    assert np.abs(found.weight).max() > 1e-2


def test_swapping_every_pair_changes_nothing():
    one = ngrams.fit(PAIRS, [0.9] * len(PAIRS))
    other = ngrams.fit([(b, a) for a, b in PAIRS], [0.1] * len(PAIRS))
    np.testing.assert_allclose(one.weight, other.weight, atol=1e-5)


def test_it_likes_new_texts_of_words_that_won():
    found = ngrams.fit(PAIRS, [1.0] * len(PAIRS))
    better, worse = found.log_odds(["warm and bright", "stale and grim"])
    assert better > 0 > worse


def test_its_file_is_a_proxy_by_its_path(tmp_path: Path):
    fitted = ngrams.fit(PAIRS, [1.0] * len(PAIRS))
    ngrams.save(fitted, tmp_path / "one.safetensors")
    response = Response(prompt=Prompt(text="a warm"), text=" and bright thing")
    expected = fitted.log_odds([response.full_text])[0]
    scorer = Proxy(path=str(tmp_path / "one.safetensors"))
    assert scorer.score([response]) == [pytest.approx(expected, rel=1e-5)]
    shipped = Classifier.load("proxy").log_odds([response.full_text])[0]
    assert Proxy().score([response]) == [pytest.approx(shipped)]


def test_of_texts_alike_nothing_is_learned():
    assert not ngrams.fit([("same", "same")], [1.0]).weight.any()
