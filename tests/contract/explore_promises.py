"""What every exploration rule promises."""

from collections.abc import Callable

import numpy as np
import pytest

from prefloop.types import Candidates
from worlds import candidates

Rule = Callable[[Candidates, np.random.Generator], tuple[int, int]]


def some(count: int, seed: int = 0) -> Candidates:
    """Scored candidates of which the first half came from the policy."""
    scores = np.random.default_rng(seed).normal(size=(3, count)).round(1)
    sources = "p" * (count - count // 2) + "r" * (count // 2)
    return candidates([f" text {i}" for i in range(count)], scores.tolist(), sources)


def two_different_candidates_are_chosen(rule: Rule) -> None:
    for count in (2, 3, 8):
        for seed in range(20):
            a, b = rule(some(count, seed), np.random.default_rng(seed))
            assert type(a) is int and type(b) is int
            assert a != b and {a, b} <= set(range(count))


def equal_scores_and_equal_texts_still_give_two(rule: Rule) -> None:
    same = candidates([" same"] * 4, [[1.0] * 4], "pprr")
    a, b = rule(same, np.random.default_rng(0))
    assert a != b


def the_choice_depends_on_nothing_but_candidates_and_rng(rule: Rule) -> None:
    for seed in range(20):
        first = rule(some(6, seed), np.random.default_rng(seed))
        assert first == rule(some(6, seed), np.random.default_rng(seed))


def a_single_candidate_is_refused(rule: Rule) -> None:
    with pytest.raises(ValueError, match=r"must be at least 2 to compare, got 1"):
        rule(candidates([" alone"], [[1.0]]), np.random.default_rng(0))


OF_EVERY_RULE = (
    two_different_candidates_are_chosen,
    equal_scores_and_equal_texts_still_give_two,
    the_choice_depends_on_nothing_but_candidates_and_rng,
    a_single_candidate_is_refused,
)


def without_scores_it_says_what_to_set(rule: Rule) -> None:
    bare = candidates([" x", " y"], sources="pr")
    with pytest.raises(ValueError, match=r"got no scores; set explore.scorer"):
        rule(bare, np.random.default_rng(0))


def scores_that_are_no_numbers_are_refused(rule: Rule) -> None:
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match=r"must be finite .*(nan|inf)"):
            rule(candidates([" x", " y"], [[0.0, bad]], "pr"), np.random.default_rng(0))


def scores_of_other_candidates_are_refused(rule: Rule) -> None:
    with pytest.raises(ValueError, match=r"\[member, candidate\] for 2 candidates, got .*\(1, 3\)"):
        rule(candidates([" x", " y"], [[0.0, 1.0, 2.0]], "pr"), np.random.default_rng(0))


OF_A_RULE_THAT_NEEDS_SCORES = (
    without_scores_it_says_what_to_set,
    scores_that_are_no_numbers_are_refused,
    scores_of_other_candidates_are_refused,
)


def scores_are_not_looked_at(rule: Rule) -> None:
    bare = candidates([" x", " y", " z"], sources="ppr")
    scored = candidates([" x", " y", " z"], [[0.0, -1.0, np.nan]], "ppr")
    rng = np.random.default_rng
    assert rule(bare, rng(0)) == rule(scored, rng(0))
