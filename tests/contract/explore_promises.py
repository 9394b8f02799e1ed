"""What every exploration rule promises."""

import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from options import SOURCES, options
from prefloop.types import Candidates

Rule = Callable[[Candidates, np.random.Generator], tuple[int, int] | None]


def may_decline(rule: Rule) -> bool:
    """Whether the rule's file says that it may find nothing worth asking."""
    return bool(getattr(sys.modules[rule.__module__], "may_decline", False))


def needs_of(rule: Rule) -> tuple[str, ...]:
    """What the rule's file says it cannot do without."""
    return tuple(getattr(sys.modules[rule.__module__], "needs", ()))


def sources_of(rule: Rule, count: int) -> str:
    """Letters: half are the policy's, the rest are of the source that the rule needs, if any."""
    other = next((x for x, source in SOURCES.items() if source in needs_of(rule)), "p")
    return "p" * (count - count // 2) + other * (count // 2)


def fewest(rule: Rule) -> int:
    """Candidates that it can do with: two, or two of the policy's beside a file's pair."""
    return 4 if "dataset" in needs_of(rule) else 2


def some(rule: Rule, count: int, seed: int = 0) -> Candidates:
    """Candidates about which three members disagree, placed in a plane; all are quarters.

    Of two clusters, whose numbers are not in order.
    """
    rng = np.random.default_rng(seed)
    scores, features = rng.normal(size=(3, count)), rng.normal(size=(count, 2))
    clusters = rng.permutation([7, 2] * count)[:count]
    clusters[-1] = 9 - clusters[0]
    return options(
        count,
        scores=(4 * scores).round() / 4,
        features=(4 * features).round() / 4,
        clusters=clusters.tolist(),
        sources=sources_of(rule, count),
    )


def alike(rule: Rule, count: int = 4) -> Candidates:
    """Candidates that are one text in one place, which each member likes as much as another."""
    scores = [[float(member)] * count for member in range(3)]
    features = [[1.0, 2.0]] * count
    return options(
        count,
        scores=scores,
        features=features,
        clusters=[0] * count,
        sources=sources_of(rule, count),
        text=" same",
    )


def chosen(rule: Rule, asked: Candidates, seed: int = 0) -> tuple[int, int] | None:
    return rule(asked, np.random.default_rng(seed))


def two_different_candidates_are_chosen(rule: Rule) -> None:
    for count in (fewest(rule), fewest(rule) + 1, 8):
        for seed in range(20):
            picked = chosen(rule, some(rule, count, seed), seed)
            assert picked or may_decline(rule)
            a, b = picked or (0, 1)
            assert type(a) is int and type(b) is int
            assert a != b and {a, b} <= set(range(count))


def equal_scores_and_equal_texts_still_give_two(rule: Rule) -> None:
    """Or none, for a rule that may decline."""
    picked = chosen(rule, alike(rule))
    assert picked or may_decline(rule)
    assert picked is None or picked[0] != picked[1]


def the_choice_depends_on_nothing_but_candidates_and_rng(rule: Rule) -> None:
    for seed in range(20):
        first = chosen(rule, some(rule, 6, seed), seed)
        assert first == chosen(rule, some(rule, 6, seed), seed)


def a_single_candidate_is_refused(rule: Rule) -> None:
    with pytest.raises(ValueError, match=r"must be at least 2 to compare, got 1"):
        chosen(rule, some(rule, 1))


def candidates_are_left_as_they_were(rule: Rule) -> None:
    asked, same = some(rule, 5), some(rule, 5)
    chosen(rule, asked)
    assert asked.responses == same.responses
    np.testing.assert_array_equal(asked.scores, same.scores)
    np.testing.assert_array_equal(asked.features, same.features)
    assert asked.clusters == same.clusters


OF_EVERY_RULE = (
    two_different_candidates_are_chosen,
    equal_scores_and_equal_texts_still_give_two,
    the_choice_depends_on_nothing_but_candidates_and_rng,
    a_single_candidate_is_refused,
    candidates_are_left_as_they_were,
)


def without_scores_it_says_what_to_set(rule: Rule) -> None:
    with pytest.raises(ValueError, match=r"got no scores; set explore\.(scorer|features)"):
        chosen(rule, replace(some(rule, 2), scores=None))


def scores_that_are_no_numbers_are_refused(rule: Rule) -> None:
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match=r"must be finite .*(nan|inf)"):
            chosen(rule, replace(some(rule, 2), scores=np.array([[0.0, bad], [1.0, 2.0]])))


def scores_of_other_candidates_are_refused(rule: Rule) -> None:
    with pytest.raises(ValueError, match=r"\[member, candidate\] for 2 candidates, got .*\(3, 3\)"):
        chosen(rule, replace(some(rule, 2), scores=some(rule, 3).scores, features=None))


def what_a_member_adds_to_all_scores_changes_nothing(rule: Rule) -> None:
    """Comparisons determine differences only, so a rule may look at nothing else."""
    for seed in range(20):
        asked = some(rule, 5, seed)
        shifted = replace(asked, scores=asked.scores + np.array([[8.0], [-16.0], [4.0]]))
        assert chosen(rule, asked, seed) == chosen(rule, shifted, seed)


OF_A_RULE_THAT_NEEDS_SCORES = (
    without_scores_it_says_what_to_set,
    scores_that_are_no_numbers_are_refused,
    scores_of_other_candidates_are_refused,
    what_a_member_adds_to_all_scores_changes_nothing,
)


def a_lonely_member_is_refused(rule: Rule) -> None:
    with pytest.raises(ValueError, match=r"members must be at least 2 .*got 1; raise explore"):
        chosen(rule, replace(some(rule, 3), scores=np.array([[0.0, 1.0, 2.0]])))


def members_without_variance_are_refused(rule: Rule) -> None:
    with pytest.raises(ValueError, match=r"members must differ .*got 2 equal rows \[0\.0, 1\.0"):
        chosen(rule, replace(some(rule, 3), scores=np.array([[0.0, 1.0, 2.0]] * 2)))


OF_A_RULE_THAT_NEEDS_MEMBERS = (
    *OF_A_RULE_THAT_NEEDS_SCORES,
    a_lonely_member_is_refused,
    members_without_variance_are_refused,
)


def without_features_it_says_what_to_set(rule: Rule) -> None:
    with pytest.raises(ValueError, match=r"got no features; set explore\.features"):
        chosen(rule, replace(some(rule, 2), features=None))


def features_that_are_no_numbers_are_refused(rule: Rule) -> None:
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match=r"features must be finite.*(nan|inf).*candidate 1"):
            chosen(rule, replace(some(rule, 2), features=np.array([[0.0], [bad]])))


def features_of_other_candidates_are_refused(rule: Rule) -> None:
    with pytest.raises(ValueError, match=r"\[candidate, feature\] for 2 candidates, got .*\(3, 2"):
        chosen(rule, replace(some(rule, 2), features=some(rule, 3).features, scores=None))


def where_the_origin_is_changes_nothing(rule: Rule) -> None:
    """Comparisons determine differences only, so a rule may look at nothing else."""
    for seed in range(20):
        asked = some(rule, 5, seed)
        moved = replace(asked, features=asked.features + np.array([8.0, -16.0]))
        assert chosen(rule, asked, seed) == chosen(rule, moved, seed)


OF_A_RULE_THAT_NEEDS_FEATURES = (
    without_features_it_says_what_to_set,
    features_that_are_no_numbers_are_refused,
    features_of_other_candidates_are_refused,
    where_the_origin_is_changes_nothing,
)


def without_clusters_it_says_what_to_set(rule: Rule) -> None:
    with pytest.raises(ValueError, match=r"got no clusters; set explore\.clusters"):
        chosen(rule, replace(some(rule, 2), clusters=None))


def clusters_of_other_candidates_are_refused(rule: Rule) -> None:
    with pytest.raises(ValueError, match=r"a number for each of 3 candidates, got 2"):
        chosen(rule, replace(some(rule, 3), clusters=(0, 1)))


def what_clusters_are_called_changes_nothing(rule: Rule) -> None:
    """Equal numbers mean the same; which number it is means nothing."""
    for seed in range(20):
        asked = some(rule, 6, seed)
        renamed = replace(asked, clusters=tuple(9 - number for number in asked.clusters))
        assert chosen(rule, asked, seed) == chosen(rule, renamed, seed)


OF_A_RULE_THAT_NEEDS_CLUSTERS = (
    without_clusters_it_says_what_to_set,
    clusters_of_other_candidates_are_refused,
    what_clusters_are_called_changes_nothing,
)


def it_does_not_always_decline(rule: Rule) -> None:
    assert any(chosen(rule, some(rule, 6, seed), seed) for seed in range(20))


def clusters_are_not_looked_at(rule: Rule) -> None:
    for seed in range(20):
        asked = some(rule, 4, seed)
        bare = replace(asked, clusters=None)
        other = replace(asked, clusters=(0, 1, 2, 3))
        assert chosen(rule, bare) == chosen(rule, asked) == chosen(rule, other)


def scores_are_not_looked_at(rule: Rule) -> None:
    for seed in range(20):
        asked = some(rule, 4, seed)
        bad = replace(asked, scores=np.full((2, 4), np.nan))
        assert chosen(rule, replace(asked, scores=None)) == chosen(rule, asked) == chosen(rule, bad)


def features_are_not_looked_at(rule: Rule) -> None:
    for seed in range(20):
        asked = some(rule, 4, seed)
        bad = replace(asked, features=np.full((4, 2), np.nan))
        bare = replace(asked, features=None)
        assert chosen(rule, bare) == chosen(rule, asked) == chosen(rule, bad)


def the_source_it_needs_is_asked_for(rule: Rule) -> None:
    """Without it, the error says what draws it; without the policy's own, too."""
    (needed,) = set(needs_of(rule)) & set(SOURCES.values())
    remedy = rf"set sample\.sources=\{{policy: 1, {needed}: 1\}}"
    for sources, got in (("pp", "policy, policy"), ("dd", "dataset, dataset")):
        with pytest.raises(ValueError, match=rf"needs a candidate of source .*got {got}; {remedy}"):
            chosen(rule, options(2, sources=sources))


def the_policy_and_the_source_it_needs_are_compared(rule: Rule) -> None:
    """Wherever they stand: the first of each, the policy's named first."""
    (needed,) = set(needs_of(rule)) & set(SOURCES.values())
    letter = next(x for x, source in SOURCES.items() if source == needed)
    assert chosen(rule, options(5, sources=f"d{letter}p{letter}p")) == (2, 1)


OF_A_RULE_THAT_NEEDS_A_SOURCE = (
    the_source_it_needs_is_asked_for,
    the_policy_and_the_source_it_needs_are_compared,
)


def promises_of(rule: Rule) -> tuple[Callable[[Rule], None], ...]:
    """Those that the rule's needs commit it to."""
    needs = {*needs_of(rule)}
    by_score = needs & {"scores", "implicit", "members"}
    return (
        *OF_EVERY_RULE,
        *(OF_A_RULE_THAT_NEEDS_MEMBERS if "members" in needs else ()),
        *(OF_A_RULE_THAT_NEEDS_SCORES if needs & {"scores", "implicit"} else ()),
        *(OF_A_RULE_THAT_NEEDS_FEATURES if "features" in needs else (features_are_not_looked_at,)),
        *(OF_A_RULE_THAT_NEEDS_CLUSTERS if "clusters" in needs else (clusters_are_not_looked_at,)),
        *((it_does_not_always_decline,) if may_decline(rule) else ()),
        *(OF_A_RULE_THAT_NEEDS_A_SOURCE if needs & {"hot", "reference", "previous"} else ()),
        *(() if by_score else (scores_are_not_looked_at,)),
    )
