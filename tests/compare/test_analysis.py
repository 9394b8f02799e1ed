"""Standings of runs that were made up, so that every number in them is known."""

from math import inf, sqrt
from statistics import fmean, stdev

import pytest

from prefloop.compare.analysis import Runs, analyse, matched_kl
from prefloop.measure.intervals import t_quantile


def line(slope: float, *, end: float = 9.0, rounds: int = 3):
    """A run whose gold reward is slope · √KL, and √KL is proportional to its labels; 300 in all."""
    return [
        {
            "labels_total": 300 * i // rounds,
            "kl": end * (i / rounds) ** 2,
            "gold_reward_mean": slope * sqrt(end) * i / rounds,
            "win_rate": slope / 10,
            "tokens_generated": 50,
            "judges": {"vader": slope / 100},
        }
        for i in range(rounds + 1)
    ]


def runs(method: str, *slopes: float, **more) -> Runs:
    return Runs(method=method, rows={i: line(slope, **more) for i, slope in enumerate(slopes)})


PLAIN = runs("plain", 1.0, 1.2, 1.4)


def of(method: Runs, **options):
    """The method's standing beside PLAIN."""
    return analyse([PLAIN, method], "plain", **options).standings[1]


def test_the_matched_kl_is_the_smallest_of_the_largest() -> None:
    far, near = runs("far", 1, 2, end=16.0), runs("near", 1, end=4.0)
    assert matched_kl([*far.rows.values(), *near.rows.values()]) == pytest.approx(4)
    assert analyse([PLAIN, far, near], "plain").kl == pytest.approx(4)
    assert matched_kl([]) == 0


def test_gold_at_the_matched_kl_is_compared_at_equal_distance_not_at_equal_labels() -> None:
    """The same law of reward and KL, one going twice as far: no difference at equal KL."""
    same = runs("far", 1.0, 1.2, 1.4, end=36.0)
    found = of(same)
    assert found.difference_at_kl.value == pytest.approx(0)
    assert found.difference_at_end.value == pytest.approx(fmean([1.0, 1.2, 1.4]) * 3)


def test_differences_are_seed_by_seed() -> None:
    """Each seed is 0.5√KL better: a constant difference has no spread, whatever the seeds have."""
    better = runs("better", 1.5, 1.7, 1.9)
    found = of(better, kl=4.0).difference_at_kl
    assert found == pytest.approx((1.0, 1.0, 1.0))
    assert of(better).gold_at_kl.high - of(better).gold_at_kl.value > 0.1


def test_the_interval_is_students() -> None:
    gaps = [0.3, -0.1, 0.4]
    other = runs("other", *(slope + gap for slope, gap in zip([1.0, 1.2, 1.4], gaps, strict=True)))
    found = of(other, kl=1.0).difference_at_kl
    half = t_quantile(0.975, 2) * stdev(gaps) / sqrt(3)
    mean = fmean(gaps)
    assert found == pytest.approx((mean, mean - half, mean + half))


def test_seeds_that_only_one_side_has_are_not_paired() -> None:
    partial = Runs(method="partial", rows={1: line(2.2), 5: line(100.0)})
    found = of(partial, kl=1.0)
    assert found.difference_at_kl.value == pytest.approx(1.0)
    assert found.difference_at_kl.high == inf, "one pair has no spread"
    assert found.gold_at_kl.value == pytest.approx((2.2 + 100) / 2)


def test_equal_runs_are_a_tie_with_no_width() -> None:
    twin = Runs(method="twin", rows=PLAIN.rows)
    found = of(twin)
    assert found.difference_at_kl == found.difference_at_end == (0, 0, 0)


def test_the_baseline_has_no_difference_to_itself() -> None:
    plain = analyse([PLAIN], "plain").standings[0]
    assert plain.difference_at_kl is plain.difference_at_end is None


def test_the_target_is_the_baselines_mean_at_the_end() -> None:
    """1.2 · √9; a run of slope s is there at √KL = 3.6 / s, after 100 · 3.6 / s labels."""
    outcome = analyse([PLAIN, runs("other", 1.8, 2.4, 3.6)], "plain")
    assert outcome.target == pytest.approx(3.6)
    assert outcome.standings[1].labels_to_target == pytest.approx((150, 3, 3))


def test_a_seed_that_never_gets_there_counts_as_infinitely_many() -> None:
    found = of(runs("other", 1.8, 0.1, 3.6)).labels_to_target
    assert found == pytest.approx((200, 2, 3)), "the median of 100, 200 and never"
    assert of(runs("other", 0.1, 0.1, 3.6)).labels_to_target == (inf, 1, 3)
    assert of(runs("other", 0.1, 0.1)).labels_to_target == (inf, 0, 2)


def test_a_target_can_be_set() -> None:
    assert of(runs("other", 1.0), target=1.5).labels_to_target.median == pytest.approx(150)


def test_a_run_that_does_not_get_to_a_kl_that_was_set_is_left_out_and_counted() -> None:
    mixed = Runs(method="mixed", rows={0: line(2.0, end=4.0), 1: line(3.0)})
    found = of(mixed, kl=5.0)
    assert (found.reached, len(found.runs.rows)) == (1, 2)
    assert found.difference_at_kl.value == pytest.approx((3.0 - 1.2) * sqrt(5))


def test_a_method_without_a_run_has_a_row_without_numbers() -> None:
    lost = Runs(method="lost", failed={"seed 0": "no more coffee"})
    outcome = analyse([PLAIN, lost], "plain")
    found = outcome.standings[1]
    assert found.gold_at_kl is found.difference_at_kl is found.gold_at_end is None
    assert found.labels_to_target == (inf, 0, 0)
    assert outcome.kl == pytest.approx(9), "it decides nothing for the others"


def test_a_baseline_without_a_run_leaves_the_others_their_own_numbers() -> None:
    outcome = analyse([Runs(method="plain"), PLAIN_AS_OTHER], "plain")
    found = outcome.standings[1]
    assert outcome.target is None
    assert found.difference_at_kl is None
    assert found.gold_at_kl.value == pytest.approx(3.6)


PLAIN_AS_OTHER = Runs(method="other", rows=PLAIN.rows)


def test_further_numbers_are_means_over_seeds_of_the_last_or_of_the_sum() -> None:
    means = of(runs("other", 2.0, 4.0)).means
    assert means["win_rate"] == pytest.approx(0.3)
    assert means["judges.vader"] == pytest.approx(0.03)
    assert means["tokens_generated"] == 200, "four rows of 50"
    assert means["labels_total"] == 300
    assert "distinct_2" not in means, "nobody measured it"
