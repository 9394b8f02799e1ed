"""Which two each rule picks."""

from collections import Counter
from itertools import combinations, permutations
from math import exp
from statistics import variance

import numpy as np
import pytest

from options import options
from prefloop.explore._design import Design
from prefloop.explore.apl import apl
from prefloop.explore.best_random import best_random
from prefloop.explore.best_worst import best_worst
from prefloop.explore.checkpoint_pair import checkpoint_pair
from prefloop.explore.double_thompson import double_thompson
from prefloop.explore.enhancer import enhancer
from prefloop.explore.ensemble_best_arm import ensemble_best_arm
from prefloop.explore.infomax import infomax
from prefloop.explore.max_uncertainty import max_uncertainty
from prefloop.explore.most_disputed import most_disputed
from prefloop.explore.on_policy import on_policy
from prefloop.explore.policy_vs_reference import policy_vs_reference
from prefloop.explore.temperature_pair import temperature_pair
from prefloop.measure.best_of import kl_bound
from worlds import candidates

TEXTS = [" w", " x", " y", " z"]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def ensembles(count: int = 30) -> list[np.ndarray]:
    """Scores of five members for six candidates."""
    return [2 * rng(seed).normal(size=(5, 6)) for seed in range(count)]


def test_on_policy_asks_about_the_first_two():
    assert on_policy(candidates(TEXTS), rng()) == (0, 1)


def test_best_worst_ranks_by_the_mean_over_the_ensemble():
    scores = [[0.0, 3.0, 1.0, 0.5], [0.0, 1.0, -2.0, 0.5]]
    assert best_worst(candidates(TEXTS, scores), rng()) == (1, 2)


def test_of_equal_scores_the_earliest_is_best_and_the_latest_worst():
    assert best_worst(candidates(TEXTS, [[1.0, 0.0, 1.0, 0.0]]), rng()) == (0, 3)
    assert best_worst(candidates(TEXTS, [[2.0, 2.0, 2.0, 2.0]]), rng()) == (0, 3)


def test_best_random_draws_each_other_candidate_equally_often():
    source, rule = rng(), candidates(TEXTS, [[0.0, 3.0, 1.0, 2.0]])
    drawn = Counter(best_random(rule, source) for _ in range(3000))
    assert set(drawn) == {(1, 0), (1, 2), (1, 3)}
    assert all(abs(count - 1000) < 4 * np.sqrt(3000 * 2 / 9) for count in drawn.values())


def test_best_random_passes_over_repetitions_of_the_best():
    repeated = candidates([" x", " x", " x", " y"], [[1.0, 1.0, 1.0, 0.0]])
    source = rng()
    assert {best_random(repeated, source) for _ in range(50)} == {(0, 3)}


@pytest.mark.parametrize(
    ("rule", "letter", "remedy"),
    [
        (policy_vs_reference, "r", r"\{policy: 1, reference: 1\}$"),
        (temperature_pair, "h", r"\{policy: 1, hot: 1\}, and sample\.hot to the higher temper"),
        (checkpoint_pair, "v", r"\{policy: 1, previous: 1\}$"),
    ],
)
class TestRulesThatCompareSources:
    def test_they_take_the_first_of_each(self, rule, letter, remedy):
        assert rule(options(4, sources=f"d{letter}p{letter}"), rng()) == (2, 1)

    def test_they_say_which_source_is_missing(self, rule, letter, remedy):
        said = rf"candidate of source \w+, got policy, policy; set sample\.sources={remedy}"
        with pytest.raises(ValueError, match=said):
            rule(options(2, sources="pp"), rng())


class TestDoubleThompson:
    def test_pairs_come_as_often_as_enumerating_all_orders_of_the_members_says(self):
        favourites = [0, 0, 1, 2]
        scores = np.eye(3)[favourites]
        orders = list(permutations(favourites))
        expected = Counter((order[0], next(x for x in order if x != order[0])) for order in orders)
        source, draws, asked = rng(), 3000, options(3, scores=scores)
        drawn = Counter(double_thompson(asked, source) for _ in range(draws))
        assert set(drawn) == set(expected)
        for pair, times in expected.items():
            p = times / len(orders)
            assert abs(drawn[pair] - p * draws) < 4 * np.sqrt(draws * p * (1 - p))

    def test_neither_side_is_one_that_no_member_likes_best(self):
        for scores in ensembles():
            liked = set(scores.argmax(1).tolist())
            if len(liked) > 1:
                assert {*double_thompson(options(6, scores=scores), rng())} <= liked

    def test_a_common_favourite_meets_the_rival_whose_rank_is_most_disputed(self):
        """r₀ − r₁ is 2, 2, 2 and r₀ − r₂ is 1, 5, 2."""
        scores = [[2.0, 0.0, 1.0], [2.0, 0.0, -3.0], [3.0, 1.0, 1.0]]
        for seed in range(10):
            assert double_thompson(options(3, scores=scores), rng(seed)) == (0, 2)

    def test_the_dispute_is_about_the_difference_from_the_favourite(self):
        """Every member's r₂ moves with its r₀, so that r₁, which stays, is the disputed one."""
        scores = [[9.0, 0.0, 8.0], [5.0, 0.0, 4.0], [7.0, 0.0, 6.0]]
        assert double_thompson(options(3, scores=scores), rng()) == (0, 1)


def test_ensemble_best_arm_takes_each_members_favourite_equally_often_and_its_disputed_rival():
    for scores in ensembles(2):
        source, draws = rng(), 1000
        asked = options(6, scores=scores)
        drawn = Counter(ensemble_best_arm(asked, source) for _ in range(draws))
        first = Counter(scores.argmax(1).tolist())
        assert {a for a, _ in drawn} == set(first)
        for (a, b), times in drawn.items():
            disputes = {j: variance(scores[:, a] - scores[:, j]) for j in range(6) if j != a}
            assert b == max(disputes, key=disputes.__getitem__)
            share = first[a] / len(scores)
            assert abs(times - share * draws) <= 4 * np.sqrt(draws * share * (1 - share))


def test_most_disputed_is_the_largest_variance_of_a_difference():
    for scores in ensembles():
        said = {(i, j): variance(scores[:, i] - scores[:, j]) for i, j in combinations(range(6), 2)}
        expected = max(said, key=said.__getitem__)
        assert most_disputed(options(6, scores=scores), rng()) == expected


def test_infomax_is_the_largest_variance_of_a_probability():
    for scores in ensembles():
        won = [[[1 / (1 + exp(b - a)) for b in row] for a in row] for row in scores.tolist()]
        said = {
            (i, j): variance([member[i][j] for member in won]) for i, j in combinations(range(6), 2)
        }
        expected = max(said, key=said.__getitem__)
        assert infomax(options(6, scores=scores), rng()) == expected


def test_infomax_passes_over_a_certain_answer_of_unknown_margin():
    """r₀ − r₁ is 30 or 60, won either way; r₁ − r₂ is ±1, anyone's."""
    scores = [[30.0, 0.0, 1.0], [60.0, 0.0, -1.0]]
    assert infomax(options(3, scores=scores), rng()) == (1, 2)
    assert most_disputed(options(3, scores=scores), rng()) == (0, 2)


def test_what_all_members_over_rate_alike_is_not_disputed():
    """The scores of 0 and 2 vary most, their difference not at all."""
    scores = [[9.0, 0.0, 9.5], [-9.0, 0.0, -8.5], [0.0, 0.25, 0.5]]
    assert np.argsort(np.var(scores, axis=0)).tolist()[0] == 1
    assert most_disputed(options(3, scores=scores), rng()) == (0, 1)


def gshf() -> np.ndarray:
    """Five places in units of what 42 comparisons left open; widths in the test below."""
    phi = np.array([[1, 0, 0], [0, 1, 0], [0.6, 0.6, 0], [0, 0, 1], [0.5, 0, 0.5]])
    asked = {(0, 1): 17, (0, 2): 11, (1, 2): 11, (1, 3): 3}
    design = Design(ridge=1.0)
    for (a, b), times in asked.items():
        design.add(np.repeat(phi[[a]] - phi[[b]], times, axis=0))
    return design.scaled(phi)


def test_max_uncertainty_meets_the_first_with_the_least_comparable():
    """d(0,1) = .2078, d(0,3) = .5498, and the largest of all is d(2,3) = .5599."""
    features = gshf()
    assert max_uncertainty(options(5, features=features), rng()) == (0, 3)
    assert max_uncertainty(options(3, features=features[:3]), rng()) == (0, 1)
    turned = features[[2, 0, 1, 4, 3]]
    assert max_uncertainty(options(5, features=turned), rng()) == (0, 4)
    assert max_uncertainty(options(5, features=features, sources="rrrpp"), rng()) == (3, 2)


def test_max_uncertainty_of_four_arms_in_a_plane():
    """Uncertainties 0, .5867, 1.2760 and .7337 beside arm 0."""
    phi = np.array([[1, 0], [0.5, 0.5], [-0.2, 1], [0.9, -0.8]])
    design = Design(ridge=1.0)
    design.add(np.array([[0.5, -0.2], [0.3, 0.4], [-0.6, 0.1]]))
    assert max_uncertainty(options(4, features=design.scaled(phi)), rng()) == (0, 2)


def test_apl_asks_about_the_extremes_of_the_implicit_reward():
    assert apl(options(4, scores=[[0.5, 3.0, -1.0, 2.0]]), rng()) == (1, 2)
    for scores in ensembles():
        asked = options(6, scores=scores)
        assert {*apl(asked, rng())} == {*best_worst(asked, rng())}


class TestEnhancer:
    def test_it_is_the_widest_pair_that_the_kl_bound_of_best_of_n_allows(self):
        for seed in range(40):
            features, beta = rng(seed).normal(size=(9, 2)), rng(seed).uniform(0, 4)
            far = [float(np.linalg.norm(features[j] - features[0])) for j in range(1, 9)]
            allowed = [n for n in range(1, 9) if beta * kl_bound(n) <= 0.5 * max(far[:n])]
            reached = far[: allowed[-1]]
            expected = 1 + reached.index(max(reached))
            asked = options(9, features=features)
            assert enhancer(asked, rng(), beta=beta, scale=0.5) == (0, expected)

    def test_a_dear_kl_makes_it_on_policy_and_a_free_one_max_uncertainty(self):
        for seed in range(20):
            asked = options(6, features=rng(seed).normal(size=(6, 2)))
            assert enhancer(asked, rng(), beta=1e6) == on_policy(asked, rng())
            assert enhancer(asked, rng(), beta=0.0) == max_uncertainty(asked, rng())

    def test_the_larger_the_doubt_the_farther_it_goes(self):
        """Three others at .1, .2 and 1: β(log 3 − ⅔) is .432β, β(log 2 − ½) is .193β."""
        asked = options(4, features=[[0.0], [0.1], [0.2], [1.0]])
        assert enhancer(asked, rng(), beta=2.3) == (0, 3)
        assert enhancer(asked, rng(), beta=2.4) == (0, 1)
        assert enhancer(asked, rng(), beta=2.4, scale=2.0) == (0, 3)

    def test_responses_that_are_no_samples_of_the_policy_are_left_out(self):
        features = [[9.0], [0.0], [5.0], [0.1], [0.3]]
        assert enhancer(options(5, features=features, sources="rphpp"), rng()) == (1, 4)

    def test_one_sample_of_the_policy_has_no_other(self):
        with pytest.raises(
            ValueError, match=r"2 candidates of source policy, got policy, hot; set"
        ):
            enhancer(options(2, features=[[0.0], [1.0]], sources="ph"), rng())


@pytest.mark.parametrize(
    "rule",
    [double_thompson, ensemble_best_arm, infomax, most_disputed, max_uncertainty, enhancer, apl],
)
class TestTies:
    def test_where_all_are_equal_it_is_the_first_two(self, rule):
        scores, features = [[1.0] * 4, [2.0] * 4, [5.0] * 4], [[1.0, 2.0]] * 4
        for seed in range(5):
            assert rule(options(4, scores=scores, features=features), rng(seed)) == (0, 1)

    def test_repeating_a_candidate_at_the_end_changes_nothing(self, rule):
        for seed, scores in enumerate(ensembles()):
            features = rng(seed).normal(size=(6, 3))
            again = [*range(6), seed % 6]
            once = options(6, scores=scores, features=features)
            twice = options(7, scores=scores[:, again], features=features[again])
            assert rule(once, rng(seed)) == rule(twice, rng(seed))
