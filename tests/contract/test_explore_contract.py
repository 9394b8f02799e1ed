"""Every file in explore/ against every promise, and the promises against wrong rules."""

import numpy as np
import pytest
from explore_promises import (
    OF_A_RULE_THAT_NEEDS_SCORES,
    OF_EVERY_RULE,
    a_single_candidate_is_refused,
    equal_scores_and_equal_texts_still_give_two,
    scores_are_not_looked_at,
    scores_that_are_no_numbers_are_refused,
    the_choice_depends_on_nothing_but_candidates_and_rng,
    two_different_candidates_are_chosen,
)
from promises import exemptions, keep

from prefloop import plugins

RULES = [(name, plugins.find("explore", name)) for name in plugins.names("explore")]


def promises_of(name: str):
    if "scores" in plugins.card("explore", name).needs:
        return (*OF_EVERY_RULE, *OF_A_RULE_THAT_NEEDS_SCORES)
    if "features" in plugins.card("explore", name).needs:
        raise LookupError("teach tests/contract/explore_promises.py to make features")
    return (*OF_EVERY_RULE, scores_are_not_looked_at)


@pytest.mark.parametrize(
    ("promise", "rule"),
    [
        pytest.param(promise, rule, id=f"{name}-{promise.__name__}")
        for name, rule in RULES
        for promise in promises_of(name)
    ],
)
def test_every_rule_keeps(promise, rule):
    keep(promise, rule)


@pytest.mark.parametrize(("name", "rule"), RULES, ids=lambda x: getattr(x, "__name__", ""))
def test_only_promises_that_exist_are_exempt(name, rule):
    assert set(exemptions(rule)) <= {promise.__name__ for promise in promises_of(name)}


def argmax_argmin(candidates, rng):
    mean = candidates.scores.mean(0)
    return int(mean.argmax()), int(mean.argmin())


def numpy_integers(candidates, rng):
    return tuple(np.array([0, 1]))


def with_replacement(candidates, rng):
    return tuple(int(i) for i in rng.integers(len(candidates.responses), size=2))


def ambient_randomness(candidates, rng):
    return tuple(int(i) for i in np.random.default_rng().permutation(len(candidates.responses))[:2])


def peeking(candidates, rng):
    return (0, 1) if candidates.scores is None else (1, 0)


@pytest.mark.parametrize(
    ("promise", "mutant"),
    [
        (equal_scores_and_equal_texts_still_give_two, argmax_argmin),
        (scores_that_are_no_numbers_are_refused, argmax_argmin),
        (two_different_candidates_are_chosen, numpy_integers),
        (two_different_candidates_are_chosen, with_replacement),
        (the_choice_depends_on_nothing_but_candidates_and_rng, ambient_randomness),
        (a_single_candidate_is_refused, numpy_integers),
        (scores_are_not_looked_at, peeking),
    ],
    ids=lambda f: f.__name__,
)
def test_a_wrong_rule_breaks_its_promise(promise, mutant):
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        promise(mutant)
