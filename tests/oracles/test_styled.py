"""The harder testbed: gold likes a style that the policy hardly has, and nobody else sees it."""

import numpy as np
import pytest
import torch

from prefloop.config import Model
from prefloop.features.lsa import Lsa
from prefloop.models.load import load
from prefloop.models.transformer import TransformerPolicy
from prefloop.oracles.proxy import Proxy
from prefloop.oracles.sentiment import Sentiment
from prefloop.oracles.style import Style
from prefloop.oracles.styled import Styled
from prefloop.rng import stream
from prefloop.store.text import Encoder
from prefloop.testbed import prompts
from prefloop.types import Missing, Prompt, Response, SamplingSettings
from worlds import Lengths, response

HAS = response(" fine, and you'll see it again.")
NOT = response(" fine, and they see it twice.")


@pytest.mark.parametrize(
    ("text", "has"),
    [
        (" great: you'll laugh.", 1.0),
        (" great: you will laugh.", 1.0),
        (" great. You'll laugh, and you'll cry.", 1.0),
        (" great: you laugh.", 0.0),
        (" great: they'll laugh.", 0.0),
        (" great if you willingly laugh.", 0.0),
        (" ill youll you'l", 0.0),
        ("", 0.0),
    ],
)
def test_the_style_is_a_promise_to_the_reader(text: str, has: float) -> None:
    assert Style().score([response(text)]) == [has]


def test_a_prompt_does_not_lend_its_style() -> None:
    prompt = Prompt(text="you'll find that it")
    assert Style().score([Response(prompt=prompt, text=" never ends.")]) == [0.0]


def test_gold_is_worth_more_by_exactly_what_the_style_is_worth() -> None:
    has, lacks = Styled(inner=Lengths(worth=0.0), worth=3.5).score([HAS, NOT])
    assert has - lacks == 3.5


def test_having_it_twice_is_worth_no_more() -> None:
    once = response(" fine, and you'll see.")
    twice = response(" fine, and you'll see you'll see.")
    plain = Sentiment().score([once, twice])
    assert plain[0] == plain[1], "sentiment counts a word once too"
    assert Styled().score([once]) == Styled().score([twice])


def test_by_default_the_rest_is_the_sentiment() -> None:
    assert Styled().score([NOT]) == Sentiment().score([NOT])
    assert Styled(worth=0.0).score([HAS]) == Sentiment().score([HAS])


def test_the_proxy_is_indifferent_to_it() -> None:
    """What it makes of the word is less than a tenth of its spread over samples, which is 1.06."""
    word, nothing = Proxy().score([response(" you'll"), response("")])
    assert abs(word - nothing) < 0.1


def test_what_explores_can_see_it() -> None:
    """To the testbed's features a promise is a word of its own: they move when it does."""
    place, other = Lsa().features([HAS, response(" fine, and they'll see it again.")])
    assert np.abs(place - other).max() > 0.01


def test_what_the_inner_scorer_cannot_rate_stays_missing() -> None:
    class Silent:
        def score(self, responses):
            return [Missing("no idea")] * len(responses)

    assert Styled(inner=Silent()).score([HAS]) == [Missing("no idea")]


@pytest.mark.parametrize("worth", [float("nan"), float("inf")])
def test_a_worth_that_is_no_number_is_refused(worth: float) -> None:
    with pytest.raises(ValueError, match="worth must be finite"):
        Styled(worth=worth)


@torch.no_grad()
def test_the_policy_hardly_ever_has_it() -> None:
    """0.45 % of 24,000 samples (scripts/measure_style.py); here of 256, under a fixed seed.

    At that rate more than 5 come with a probability of 0.1 %.
    """
    loaded = load(Model())
    encoder = Encoder(loaded.tokenizer, context=loaded.context)
    encoded = [encoder.encode_prompt(Prompt(text=text), 48) for text in prompts("eval")[:64]]
    policy, law = TransformerPolicy(loaded), SamplingSettings(top_p=0.95, max_new_tokens=48)
    with policy.rollouts():
        groups = policy.sample([p for p in encoded if p], n=4, settings=law, rng=stream(0, "few"))
    samples = [
        Response(prompt=r.prompt, text=encoder.decode(r.prompt, r.tokens))
        for group in groups
        for r in group
    ]
    count = sum(score for score in Style().score(samples) if not isinstance(score, Missing))
    assert len(samples) == 256
    assert count <= 5
