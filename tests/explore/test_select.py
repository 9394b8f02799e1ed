"""What a prompt's label is worth."""

from math import log
from statistics import variance

import numpy as np
import pytest

from options import options
from prefloop.config import Explore
from prefloop.explore._select import PROMPTS, disputed, entropy, unsure


def test_every_value_that_can_be_set_is_there():
    choices = Explore.model_fields["prompts"].annotation.__args__
    assert {*choices} == {"any", *PROMPTS}
    assert all(PROMPTS[name].__name__ == name for name in PROMPTS)


def test_disputed_is_the_members_variance_of_the_pairs_difference():
    scores = np.random.default_rng(0).normal(size=(4, 3))
    expected = variance(scores[:, 2] - scores[:, 0])
    assert disputed(options(3, scores=scores), (0, 2)) == pytest.approx(expected, rel=1e-12)
    assert disputed(options(3, scores=scores), (2, 0)) == pytest.approx(expected, rel=1e-12)


def test_unsure_is_the_distance_of_the_pair():
    assert unsure(options(3, features=[[9.0, 9.0], [1.0, 2.0], [4.0, 6.0]]), (1, 2)) == 5.0


def test_entropy_is_what_the_policys_samples_say_of_it():
    """Samples in proportion to their probability give the entropy itself: uniform, then skewed."""
    flat = options(4, logps=[log(1 / 4)] * 4)
    assert entropy(flat, (0, 1)) == pytest.approx(log(4), rel=1e-12)
    skewed = options(4, logps=[log(3 / 4)] * 3 + [log(1 / 4)])
    expected = -(3 * log(3 / 4) + log(1 / 4)) / 4
    assert entropy(skewed, (0, 1)) == pytest.approx(expected, rel=1e-12)


def test_the_flatter_policy_is_worth_more():
    """oat's argsort of mean log π takes the other one."""
    sure, unsure = options(2, logps=[-0.1, -0.2]), options(2, logps=[-5.0, -7.0])
    assert entropy(unsure, (0, 1)) > entropy(sure, (0, 1))


def test_what_others_proposed_says_nothing_of_the_policys_entropy():
    mixed = options(3, logps=[-1.0, -50.0, -3.0], sources="prp")
    assert entropy(mixed, (0, 1)) == 2.0


@pytest.mark.parametrize(
    ("sources", "logps", "got"),
    [("rr", [-1.0, -1.0], "0 for 0"), ("pp", [-1.0, None], "1 for 2")],
)
def test_entropy_without_log_probabilities_says_what_to_set(sources, logps, got):
    with pytest.raises(ValueError, match=rf"got {got} of them; set sample\.sources"):
        entropy(options(2, sources=sources, logps=logps), (0, 1))


def test_what_a_value_needs_is_asked_for():
    with pytest.raises(ValueError, match=r"got no scores; set explore\.features"):
        disputed(options(2), (0, 1))
    with pytest.raises(ValueError, match=r"got no features; set explore\.features"):
        unsure(options(2), (0, 1))
