"""Gold and proxy: as accurate as the card says, and different."""

import json
import subprocess
import sys

import numpy as np
import pytest

from prefloop.testbed import MODEL
from prefloop.testbed.classifier import Classifier, grams, hashed_characters, known_words

from .rows import held_out_polarity

CARD = json.loads((MODEL.parent / "card.json").read_text())


def accuracy(name: str) -> float:
    texts, labels = held_out_polarity()
    return float(((Classifier.load(name).log_odds(texts) > 0) == np.array(labels)).mean())


@pytest.mark.parametrize("name", ["gold", "proxy"])
def test_accuracy_on_held_out_human_labels_is_the_cards(name):
    assert accuracy(name) == pytest.approx(CARD[name]["accuracy"], abs=0.002)


def test_gold_is_good_and_proxy_is_weaker():
    assert accuracy("gold") > 0.76
    assert 0.6 < accuracy("proxy") < accuracy("gold") - 0.02


@pytest.mark.parametrize("name", ["gold", "proxy"])
def test_an_obvious_text_is_scored_as_a_reader_would(name):
    good, bad = Classifier.load(name).log_odds(
        ["a moving and wonderful film.", "a dull, stupid and boring mess."]
    )
    assert good > 0 > bad


def test_log_odds_add_up_over_distinct_words():
    words = Classifier(known_words({"good": 0, "bad": 1}), np.array([1.5, -2.0]), bias=0.25)
    texts = ["", "Good, good!", "bad but good", "goodness"]
    np.testing.assert_array_equal(words.log_odds(texts), [0.25, 1.75, -0.25, 0.25])


def test_no_texts_give_no_scores():
    assert Classifier.load("gold").log_odds([]).shape == (0,)


def test_character_grams_stay_within_words():
    assert grams("bad") == [" ba", "bad", "ad ", " bad", "bad ", " bad "]
    analyse = hashed_characters(2**15)
    assert analyse("Bad film") == sorted({*analyse("bad"), *analyse("film")})
    assert analyse("bad bad") == analyse("bad")


def test_neither_import_needs_torch():
    code = (
        "import sys, prefloop.testbed.classifier as c; c.Classifier.load('gold').log_odds(['a']);"
        "assert not {'torch', 'sklearn', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
