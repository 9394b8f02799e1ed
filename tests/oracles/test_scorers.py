"""The testbed's classifiers and VADER as scorers."""

import math

import pytest

from prefloop.oracles.proxy import Proxy
from prefloop.oracles.sentiment import Sentiment
from prefloop.oracles.vader import Vader
from prefloop.testbed.classifier import Classifier
from prefloop.types import Prompt, Response
from worlds import response

GOOD, BAD = response(" wonderful, moving film"), response(" dull and tedious mess")


@pytest.mark.parametrize(
    "scorer", [Sentiment(), Sentiment(length_normalize=True), Proxy(), Vader()]
)
def test_praise_scores_above_blame(scorer):
    good, bad = scorer.score([GOOD, BAD])
    assert good > 0 > bad


def test_the_prompt_is_part_of_what_is_scored():
    sour = Prompt(text="this tedious, stupid film is a")
    same = Response(prompt=sour, text=GOOD.text)
    first, second = Sentiment().score([GOOD, same])
    assert second < first
    assert Classifier.load("gold").log_odds([sour.text + same.text]).tolist() == [second]


def test_a_chat_is_read_as_a_person_would():
    chat = Prompt(
        text="is it any good?", messages=({"role": "user", "content": "is it any good?"},)
    )
    (score,) = Sentiment().score([Response(prompt=chat, text="wonderful")])
    assert Classifier.load("gold").log_odds(["is it any good?\nwonderful"]).tolist() == [score]


def test_length_normalisation_divides_by_the_root_of_the_words():
    (plain,) = Sentiment().score([GOOD])
    (normalised,) = Sentiment(length_normalize=True).score([GOOD])
    assert normalised == pytest.approx(plain / math.sqrt(7))


def test_gold_and_proxy_part_ways():
    words = ["funny", "slow", "heart", "long", "smart", "war", "love", "plot", "bore", "charm"]
    responses = [response(f" {a} and {b}") for a in words for b in words if a != b]
    gold, proxy = Sentiment().score(responses), Proxy().score(responses)
    agree = sum((g > 0) == (p > 0) for g, p in zip(gold, proxy, strict=True)) / len(responses)
    assert 0.5 < agree < 1


def test_vader_knows_nothing_about_neutral_words():
    assert Vader().score([response(" table")]) == [0.0]
