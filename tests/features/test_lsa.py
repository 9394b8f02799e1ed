"""The shipped LSA is what its card says: unit tf-idf vectors along their principal directions."""

import json
import subprocess
import sys

import numpy as np
import pytest

from prefloop.testbed.lsa import LSA, Lsa
from testbed.rows import review_sentences

CARD = json.loads((LSA.parent / "card.json").read_text())["lsa"]


@pytest.fixture(scope="module")
def shipped() -> Lsa:
    return Lsa.load()


@pytest.fixture(scope="module")
def vectors(shipped: Lsa) -> np.ndarray:
    """Of one in eight of the sentences it was fitted on."""
    return shipped.vectors(review_sentences("train")[::8])


def test_a_vector_is_the_unit_tf_idf_vector_seen_along_the_directions():
    idf, directions = np.array([2.0, 3.0]), np.array([[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]])
    lsa = Lsa({"good": 0, "film": 1}, idf, directions)
    weights = np.array([2 * (1 + np.log(3)), 3])
    expected = weights / np.hypot(*weights) @ directions
    np.testing.assert_allclose(lsa.vectors(["Good, good film: GOOD, or so"])[0], expected)


def test_order_and_unknown_words_count_for_nothing(shipped):
    a, b, c = shipped.vectors(["a good film", "film good a", "film good a zzyzx"])
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(b, c)
    assert not shipped.vectors(["zzyzx", ""]).any()
    assert shipped.vectors([]).shape == (0, CARD["dimensions"])


def test_it_is_as_large_as_the_card_says(shipped):
    assert shipped.directions.shape == (CARD["words"], CARD["dimensions"])
    assert len(shipped.idf) == len(shipped.places) == CARD["words"]
    assert LSA.stat().st_size < 2_000_000


def test_its_directions_are_orthonormal(shipped):
    gram = shipped.directions.T @ shipped.directions
    np.testing.assert_allclose(gram, np.eye(CARD["dimensions"]), atol=2e-3)


def test_they_hold_the_share_that_the_card_says(vectors):
    share = (vectors**2).sum(1).mean()  # whole vectors have length one
    assert share == pytest.approx(CARD["share"], abs=0.005)


def test_they_are_principal_in_order_and_uncorrelated(vectors):
    moments = vectors.T @ vectors / len(vectors)
    energy = np.diag(moments)
    assert energy[:20].min() > energy[-20:].max()
    apart = np.abs(moments / np.sqrt(np.outer(energy, energy)) - np.eye(len(moments)))
    assert np.sqrt((apart**2).mean()) < 2 / np.sqrt(len(vectors))


def test_other_directions_hold_less(shipped):
    texts = review_sentences("valid")
    drawn = np.random.default_rng(0).normal(size=shipped.directions.shape)
    other = Lsa(shipped.places, shipped.idf, np.linalg.qr(drawn)[0])
    assert (shipped.vectors(texts) ** 2).sum() > 5 * (other.vectors(texts) ** 2).sum()


@pytest.mark.parametrize(
    ("word", "near", "far"),
    [("jokes", "laughs", "war"), ("alien", "planet", "comedy"), ("actor", "performance", "ship")],
)
def test_words_that_keep_the_same_company_lie_closer(shipped, word, near, far):
    found = shipped.vectors([word, near, far])
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    assert found[0] @ found[1] > found[0] @ found[2] + 0.2


def test_it_needs_no_torch():
    code = (
        "import sys; from prefloop.features.lsa import Lsa; Lsa().features([]);"
        "assert not {'torch', 'sklearn', 'scipy', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
