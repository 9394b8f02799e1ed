"""The learning rate of every step of a round."""

from itertools import pairwise
from typing import Any

import pytest

from prefloop.config import Learn
from prefloop.learn.optimizer import learning_rate


def rates(total: int, **settings: Any) -> list[float]:
    """Of all steps of a round, as shares of `lr`."""
    learn = Learn(lr=2e-3, **settings)
    return [learning_rate(learn, step, total) / 2e-3 for step in range(total)]


def test_a_constant_rate_is_constant() -> None:
    assert rates(5) == [1.0] * 5


def test_a_linear_rate_would_reach_zero_one_step_after_the_last() -> None:
    assert rates(4, schedule="linear") == pytest.approx([1.0, 0.75, 0.5, 0.25])


def test_a_cosine_rate_is_half_way_down_half_way_through() -> None:
    found = rates(8, schedule="cosine")
    assert found[0] == 1.0
    assert found[4] == pytest.approx(0.5)
    assert all(later < earlier for earlier, later in pairwise(found))


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_a_warm_up_rises_to_the_full_rate_and_then_the_schedule_begins(schedule: str) -> None:
    found = rates(20, schedule=schedule, warmup=0.2)
    assert found[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert found[4] == pytest.approx(1.0)
    assert found[4:] == pytest.approx(rates(16, schedule=schedule))


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("total", [1, 2, 3, 50])
def test_no_step_is_wasted_on_a_rate_of_zero(schedule: str, total: int) -> None:
    assert all(0 < rate <= 1 for rate in rates(total, schedule=schedule, warmup=0.3))
