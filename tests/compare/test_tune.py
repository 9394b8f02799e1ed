"""Which point of a grid is picked."""

from math import sqrt

import pytest

from prefloop.compare.tune import Trial, pick


def trial(point: str, slope: float, end: float, method: str = "m", **more) -> Trial:
    """One run whose gold reward is slope · √KL, up to the KL `end`."""
    rows = [{"kl": end * i / 4, "gold_reward_mean": slope * sqrt(end * i / 4)} for i in range(5)]
    return Trial(method=method, point=point, runs=[rows], **more)


def test_the_best_reward_at_equal_kl_is_picked_not_the_best_at_the_end() -> None:
    found = pick([trial("far", 1.0, 25.0), trial("steep", 2.0, 4.0), trial("b", 1.0, 4.0, "other")])
    assert found.kl == 4.0
    assert found.picks == {"m": "steep", "other": "b"}


def test_a_point_that_hardly_moves_decides_nothing() -> None:
    """Its curve is the steepest, but it is none at the KL where the others are compared."""
    found = pick([trial("own", 1.0, 9.0), trial("stuck", 5.0, 0.01), trial("good", 1.5, 9.0)])
    assert (found.kl, found.picks["m"]) == (9.0, "good")


def test_the_kl_is_one_that_every_method_gets_to() -> None:
    found = pick([trial("a", 1, 16.0), trial("b", 1, 2.0), trial("c", 1, 5.0, "slow")])
    assert found.kl == pytest.approx(5.0)
    assert found.picks == {"m": "a", "slow": "c"}


def test_of_equals_the_first_is_picked() -> None:
    assert pick([trial("own", 1.0, 9.0), trial("twin", 1.0, 9.0)]).picks["m"] == "own"


def test_a_failed_point_is_no_candidate() -> None:
    broken = trial("broken", 9.0, 9.0, failed={"seed 1": "boom"})
    assert pick([trial("own", 1.0, 9.0), broken]).picks["m"] == "own"
    assert (broken.reach, broken.gold(1.0)) == (0, None)


def test_a_method_without_a_good_trial_has_no_pick_and_holds_nobody_back() -> None:
    lost = Trial(method="lost", point="own", failed={"seed 1": "boom"})
    found = pick([trial("own", 1.0, 9.0), lost])
    assert found.picks == {"m": "own"}
    assert found.kl == 9.0


def test_points_are_judged_by_the_mean_over_seeds() -> None:
    lucky = Trial(
        method="m", point="lucky", runs=trial("", 3.0, 9.0).runs + trial("", 0.1, 9.0).runs
    )
    found = pick([trial("steady", 2.0, 9.0), lucky])
    assert found.picks["m"] == "steady"
    assert lucky.gold(9.0) == pytest.approx((3.0 + 0.1) / 2 * 3)


def test_the_reach_of_a_point_is_that_of_its_slowest_seed() -> None:
    both = Trial(method="m", point="p", runs=trial("", 1, 9.0).runs + trial("", 1, 4.0).runs)
    assert both.reach == 4.0
    assert both.gold(5.0) is None


def test_at_a_kl_that_was_set_a_method_short_of_it_is_taken_where_it_gets_farthest() -> None:
    found = pick([trial("near", 2.0, 4.0), trial("far", 1.0, 9.0)], kl=16.0)
    assert (found.kl, found.picks["m"]) == (16.0, "far")


def test_no_trials_no_picks() -> None:
    assert pick([]).picks == {}
