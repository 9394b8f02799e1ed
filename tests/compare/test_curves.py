"""Curves whose values between the measurements are known."""

from math import inf

import numpy as np
import pytest

from prefloop.compare.curves import frontier, gold_at, labels_to, last, reach, total


def run(*points: tuple[float | None, float | None], labels: int = 100):
    """Metrics of a run with these (KL, gold) after 0, 1, 2, … rounds of so many labels."""
    return [
        {"round": i, "labels_total": i * labels, "kl": kl, "gold_reward_mean": gold}
        for i, (kl, gold) in enumerate(points)
    ]


class TestGoldAtKL:
    """The frontier, and its interpolation in √KL."""

    def test_a_reward_linear_in_the_root_is_met_everywhere(self):
        """gold = 0.5 + 2√KL, measured at three places only."""
        law = lambda kl: 0.5 + 2 * kl**0.5
        rows = run(*((kl, law(kl)) for kl in (0.0, 1.0, 9.0)))
        for kl in (0.0, 0.25, 1.0, 2.7, 4.0, 9.0):
            assert gold_at(rows, kl) == pytest.approx(law(kl))

    def test_between_two_measurements_halfway_is_halfway_in_the_root(self):
        """√6.25 = 2.5 lies halfway between √4 and √9."""
        assert gold_at(run((0, 0), (4, 1.0), (9, 2.0)), 6.25) == pytest.approx(1.5)

    def test_beyond_the_last_measurement_there_is_nothing(self):
        rows = run((0, 0), (4, 1.0))
        assert gold_at(rows, 4.001) is None
        assert gold_at(rows, reach(rows)) == 1.0, "its own reach is not beyond"

    def test_a_reach_survives_the_way_through_the_root(self):
        for kl in (0.1, 2.0, 3.3, 7.7, 11.13):
            rows = run((0, 0), (kl, 1.0))
            assert gold_at(rows, reach(rows)) == pytest.approx(1.0)

    def test_the_order_of_the_rounds_does_not_matter(self):
        """A run that stepped back from KL 9 to 4: the frontier knows both."""
        there, back = run((0, 0), (4, 1), (9, 2)), run((0, 0), (9, 2), (4, 1))
        assert gold_at(there, 6.25) == gold_at(back, 6.25)
        assert reach(back) == 9

    def test_equal_kls_are_averaged(self):
        rows = run((0, 0), (4, 1), (4, 3), (9, 5))
        assert gold_at(rows, 4.0) == pytest.approx(2)
        roots, gold = frontier(rows)
        np.testing.assert_allclose((roots, gold), [[0, 2, 3], [0, 2, 5]])

    def test_a_kl_estimated_below_zero_is_zero(self):
        rows = run((0, 1), (-0.3, 2), (4, 3))
        assert gold_at(rows, 0.0) == pytest.approx(1.5)
        assert np.isfinite(frontier(rows)[0]).all()

    def test_rounds_that_were_not_measured_are_left_out(self):
        rows = run((0, 0), (None, None), (4, None), (4, 2), (None, 7))
        assert gold_at(rows, 1.0) == pytest.approx(1)

    def test_a_run_that_was_never_measured_has_no_frontier(self):
        rows = run((None, None), (None, 1))
        assert (reach(rows), gold_at(rows, 0.0)) == (0, None)


class TestLabelsTo:
    """Labels until the gold reward is first at a target."""

    def test_between_rounds_it_is_linear(self):
        assert labels_to(run((0, 0), (1, 1), (2, 3)), 2.0) == pytest.approx(150)

    def test_exactly_on_a_measurement_it_is_that_rounds(self):
        rows = run((0, 0), (1, 1), (2, 3))
        assert labels_to(rows, 1.0) == 100
        assert labels_to(rows, 3.0) == 200

    def test_the_first_time_counts_even_if_it_is_lost_again(self):
        assert labels_to(run((0, 0), (1, 4), (2, 1), (3, 4)), 2.0) == pytest.approx(50)

    def test_what_was_there_from_the_start_costs_nothing(self):
        assert labels_to(run((0, 5), (1, 6)), 4.0) == 0

    def test_never_is_infinitely_many(self):
        assert labels_to(run((0, 0), (1, 1)), 1.01) == inf
        assert labels_to([], 0.0) == inf

    def test_a_round_without_a_measurement_is_bridged(self):
        rows = run((0, 0), (None, None), (2, 2))
        assert labels_to(rows, 1.0) == pytest.approx(100)


def test_last_is_the_last_that_was_measured():
    rows = [{"win_rate": 0.4, "judges": {"vader": 0.1}}, {"win_rate": 0.6}, {"judges": None}]
    assert last(rows, "win_rate") == 0.6
    assert last(rows, "judges.vader") == 0.1
    assert last(rows, "judges.style") is None


def test_a_total_leaves_out_what_was_not_measured():
    rows = [{"tokens_generated": 5}, {"tokens_generated": None}, {"tokens_generated": 7}, {}]
    assert total(rows, "tokens_generated") == 12
    assert total(rows, "tokens_trained") is None
