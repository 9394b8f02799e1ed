"""Every file in explore/ against every promise, and the promises against wrong rules."""

import sys
from types import ModuleType

import explore_promises as promised
import numpy as np
import pytest
from explore_promises import promises_of
from promises import exemptions, keep

from options import SOURCES
from prefloop import plugins

RULES = [(name, plugins.find("explore", name)) for name in plugins.names("explore")]
KNOWN = {"scores", "implicit", "members", "features", "clusters", *SOURCES.values()}


@pytest.mark.parametrize(
    ("promise", "rule"),
    [
        pytest.param(promise, rule, id=f"{name}-{promise.__name__}")
        for name, rule in RULES
        for promise in promises_of(rule)
    ],
)
def test_every_rule_keeps(promise, rule):
    keep(promise, rule)


@pytest.mark.parametrize(("name", "rule"), RULES, ids=lambda x: getattr(x, "__name__", ""))
class TestWhatARuleSays:
    def test_only_promises_that_exist_are_exempt(self, name, rule):
        assert set(exemptions(rule)) <= {promise.__name__ for promise in promises_of(rule)}

    def test_it_needs_only_what_candidates_can_have(self, name, rule):
        assert {*plugins.card("explore", name).needs} <= KNOWN

    def test_it_names_its_paper_or_is_everyones(self, name, rule):
        assert "arXiv:" in rule.__doc__ or name == "best_random"


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


def peeking_at_places(candidates, rng):
    return (0, 1) if candidates.features is None else (1, 0)


def peeking_at_clusters(candidates, rng):
    return (0, 1) if candidates.clusters is None else (1, 0)


def least_number_first(candidates, rng):
    """Of equal clusters the one of the least number, not the first."""
    ids = candidates.clusters
    first = ids.index(max(sorted(set(ids)), key=ids.count))
    return first, next(i for i, number in enumerate(ids) if number != ids[first])


def never(candidates, rng):
    return None


def upper_triangle_of_variance(candidates, rng):
    """The argmax of a triangle of zeros is its first corner."""
    scores = candidates.scores
    gap = scores[:, :, None] - scores[:, None, :]
    return divmod(int(np.triu(gap.var(0)).argmax()), len(candidates.responses))


def variance_of_scores(candidates, rng):
    """Not of differences: what a member adds to all counts."""
    first, second = np.argsort(-candidates.scores.var(0), kind="stable")[:2]
    return int(first), int(second)


def largest_scores(candidates, rng):
    first, second = np.argsort(-(candidates.scores**2).sum(0), kind="stable")[:2]
    return int(first), int(second)


def longest_features(candidates, rng):
    """‖φ‖ where ‖φ(a) − φ(b)‖ is meant."""
    far = np.linalg.norm(candidates.features, axis=1)
    far[0] = -1.0
    return 0, int(far.argmax())


def sorting_in_place(candidates, rng):
    candidates.scores.sort(axis=1)
    return 0, 1


def last_of_each(candidates, rng):
    sources = [r.source for r in candidates.responses][::-1]
    return len(sources) - 1 - sources.index("policy"), len(sources) - 1 - sources.index("hot")


@pytest.mark.parametrize(
    ("promise", "mutant"),
    [
        (promised.equal_scores_and_equal_texts_still_give_two, argmax_argmin),
        (promised.equal_scores_and_equal_texts_still_give_two, upper_triangle_of_variance),
        (promised.scores_that_are_no_numbers_are_refused, argmax_argmin),
        (promised.two_different_candidates_are_chosen, numpy_integers),
        (promised.two_different_candidates_are_chosen, with_replacement),
        (promised.the_choice_depends_on_nothing_but_candidates_and_rng, ambient_randomness),
        (promised.a_single_candidate_is_refused, numpy_integers),
        (promised.candidates_are_left_as_they_were, sorting_in_place),
        (promised.scores_are_not_looked_at, peeking),
        (promised.features_are_not_looked_at, peeking_at_places),
        (promised.what_a_member_adds_to_all_scores_changes_nothing, largest_scores),
        (promised.where_the_origin_is_changes_nothing, longest_features),
        (promised.a_lonely_member_is_refused, variance_of_scores),
        (promised.members_without_variance_are_refused, upper_triangle_of_variance),
        (promised.features_of_other_candidates_are_refused, longest_features),
        (promised.without_features_it_says_what_to_set, numpy_integers),
        (promised.clusters_are_not_looked_at, peeking_at_clusters),
        (promised.what_clusters_are_called_changes_nothing, least_number_first),
        (promised.clusters_of_other_candidates_are_refused, least_number_first),
        (promised.without_clusters_it_says_what_to_set, peeking_at_clusters),
        (promised.two_different_candidates_are_chosen, never),
        (promised.equal_scores_and_equal_texts_still_give_two, never),
        (promised.it_does_not_always_decline, never),
    ],
    ids=lambda f: f.__name__,
)
def test_a_wrong_rule_breaks_its_promise(promise, mutant):
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        promise(mutant)


@pytest.mark.parametrize("promise", promised.OF_A_RULE_THAT_NEEDS_A_SOURCE)
def test_a_rule_that_takes_the_last_of_each_source_breaks_its_promise(promise, monkeypatch):
    module = ModuleType("wrong")
    module.needs = ("hot",)
    monkeypatch.setitem(sys.modules, "wrong", module)
    monkeypatch.setattr(last_of_each, "__module__", "wrong")
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        promise(last_of_each)
