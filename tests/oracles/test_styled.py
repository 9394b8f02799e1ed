"""The harder testbed: gold likes a style that the policy hardly has, and nobody else sees it."""

import pytest
import torch

from prefloop.config import Model
from prefloop.models.load import load
from prefloop.models.transformer import TransformerPolicy
from prefloop.oracles.proxy import Proxy
from prefloop.oracles.sentiment import Sentiment
from prefloop.oracles.style import Style
from prefloop.oracles.styled import Styled
from prefloop.oracles.vader import Vader
from prefloop.rng import stream
from prefloop.store.text import Encoder
from prefloop.testbed import prompts
from prefloop.types import Missing, Prompt, Response, SamplingSettings
from worlds import Lengths, response

TWO = response(" fine; the cast is better still.")
ONE = response(" fine, the cast is better still.")


@pytest.mark.parametrize(
    ("text", "has"),
    [
        (" long; it never ends at all.", 1.0),
        (" long; it never ends; not even once, it seems.", 1.0),
        (" long; it never ends.", 0.0),
        (" long;it never ends at all.", 0.0),
        (" long, it never ends at all.", 0.0),
        (" ;;;;", 0.0),
        ("", 0.0),
    ],
)
def test_the_style_is_a_second_clause_of_four_words_or_more(text: str, has: float) -> None:
    assert Style().score([response(text)]) == [has]


def test_a_prompt_does_not_lend_its_style() -> None:
    prompt = Prompt(text="long; it never ends at all")
    assert Style().score([Response(prompt=prompt, text=" and on.")]) == [0.0]


def test_gold_is_worth_more_by_exactly_what_the_style_is_worth() -> None:
    two, one = Styled(inner=Lengths(), worth=3.5).score([TWO, ONE])
    assert len(TWO.text) == len(ONE.text)
    assert two - one == 3.5


def test_having_it_twice_is_worth_no_more() -> None:
    twice = response(" fine; the cast is better; the plot is better still.")
    once = response(" fine; the cast is better, the plot is better still.")
    assert Styled().score([twice]) == Styled().score([once])


def test_by_default_the_rest_is_the_sentiment() -> None:
    assert Styled().score([ONE]) == Sentiment().score([ONE])
    assert Styled(worth=0.0).score([TWO]) == Sentiment().score([TWO])


@pytest.mark.parametrize("scorer", [Proxy(), Sentiment()])
def test_nobody_else_sees_it(scorer: Proxy | Sentiment) -> None:
    """Not by any correlation either: to both classifiers the two texts are one."""
    two, one = scorer.score([TWO, ONE])
    assert two == one


def test_the_judge_sees_it_no_more_than_a_comma() -> None:
    two, one = Vader().score([TWO, ONE])
    assert two == one


def test_what_the_inner_scorer_cannot_rate_stays_missing() -> None:
    class Silent:
        def score(self, responses):
            return [Missing("no idea")] * len(responses)

    assert Styled(inner=Silent()).score([TWO]) == [Missing("no idea")]


@pytest.mark.parametrize("worth", [float("nan"), float("inf")])
def test_a_worth_that_is_no_number_is_refused(worth: float) -> None:
    with pytest.raises(ValueError, match="worth must be finite"):
        Styled(worth=worth)


@torch.no_grad()
def test_the_policy_hardly_ever_has_it() -> None:
    """0.82 % of 24,000 samples (scripts/measure_style.py); here of 256, under a fixed seed.

    At that rate more than 7 come with a probability of 0.1 %.
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
    assert count <= 7
