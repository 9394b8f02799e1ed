"""Every file in bonuses/ against every promise, and the promises against wrong bonuses."""

import sys
from typing import get_args, get_type_hints

import pytest
from bonus_promises import (
    OF_EVERY_BONUS,
    a_negative_strength_is_refused,
    a_sample_is_worth_the_same_in_any_batch,
    at_zero_it_is_not_there,
    it_is_finite_however_sure_the_policy_is,
    it_pushes_every_sample_the_same_way,
    one_value_per_sample,
    options_are_keywords_with_defaults,
    the_number_type_is_kept,
    the_paper_is_named,
    the_push_is_linear_in_its_strength,
)
from promises import keep

from prefloop import plugins
from prefloop.batches import SampleLogps
from prefloop.config import Learn

BONUSES = [plugins.find("bonuses", name) for name in plugins.names("bonuses")]
CASES = [
    pytest.param(promise, bonus, id=f"{bonus.__name__}-{promise.__name__}")
    for bonus in BONUSES
    for promise in OF_EVERY_BONUS
]


@pytest.mark.parametrize(("promise", "bonus"), CASES)
def test_every_bonus_keeps(promise, bonus):
    keep(promise, bonus)


@pytest.mark.parametrize("bonus", BONUSES, ids=lambda f: f.__name__)
def test_every_bonus_says_whose_responses_it_is_on(bonus):
    kinds = get_args(get_args(get_type_hints(Learn)["bonus_on"])[0])
    assert sys.modules[bonus.__module__].samples in kinds


def reduced(s: SampleLogps, *, alpha=1.0):
    return alpha * s.y.mean()


def centred(s: SampleLogps, *, alpha=1.0):
    return alpha * (s.y - s.y.mean())


def forgets_alpha(s: SampleLogps, *, alpha=1.0):
    return s.y


def quadratic(s: SampleLogps, *, alpha=1.0):
    return alpha * (s.y - s.ref) ** 2


def squared_strength(s: SampleLogps, *, alpha=1.0):
    return alpha**2 * s.y


def overflowing(s: SampleLogps, *, alpha=1.0):
    return -alpha * (s.y - s.drawn).detach().exp() * s.y


def cast(s: SampleLogps, *, alpha=1.0):
    return alpha * s.y.float()


def positional(s: SampleLogps, alpha=1.0):
    return alpha * s.y


@pytest.mark.parametrize(
    ("promise", "mutant"),
    [
        (one_value_per_sample, reduced),
        (a_sample_is_worth_the_same_in_any_batch, centred),
        (at_zero_it_is_not_there, forgets_alpha),
        (it_pushes_every_sample_the_same_way, quadratic),
        (the_push_is_linear_in_its_strength, squared_strength),
        (it_is_finite_however_sure_the_policy_is, overflowing),
        (the_number_type_is_kept, cast),
        (a_negative_strength_is_refused, reduced),
        (options_are_keywords_with_defaults, positional),
        (the_paper_is_named, reduced),
    ],
    ids=lambda f: f.__name__,
)
def test_a_wrong_bonus_breaks_its_promise(promise, mutant):
    with pytest.raises(AssertionError):
        promise(mutant)
