"""What the tables say of a number, and of the lack of one."""

from math import inf

import pytest

from prefloop.compare.analysis import Labels, Runs, analyse
from prefloop.compare.sheets import (
    Sheet,
    between,
    cost_sheet,
    grid_sheet,
    labels,
    main_sheet,
    plus_minus,
    verdict,
)
from prefloop.compare.tune import Trial, Tuning
from prefloop.measure.intervals import Interval


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (Interval(0.2, 0.1, 0.3), "better"),
        (Interval(-0.2, -0.3, -0.1), "worse"),
        (Interval(0.2, -0.1, 0.5), "not told apart"),
        (Interval(0.2, 0.0, 0.4), "not told apart"),
        (Interval(9.0, -inf, inf), "not told apart"),
        (None, "–"),
    ],
)
def test_a_verdict_is_what_the_interval_allows(found: Interval | None, says: str) -> None:
    assert verdict(found) == says


def test_numbers_have_true_signs_and_one_seed_has_no_interval() -> None:
    assert plus_minus(Interval(-0.521, -0.6, -0.442)) == "−0.52 ± 0.08"
    assert plus_minus(Interval(0.5, -inf, inf)) == "+0.50"
    assert between(Interval(0.1, -0.02, 0.22)) == "+0.10 (−0.02 to +0.22)"
    assert between(Interval(0.1, -inf, inf)) == "+0.10"
    assert (plus_minus(None), between(None)) == ("–", "–")


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (Labels(812.4, 5, 5), "812"),
        (Labels(812.4, 4, 5), "812 (4 of 5)"),
        (Labels(inf, 2, 5), "most never (2 of 5)"),
        (Labels(inf, 0, 5), "not reached"),
        (Labels(0.0, 5, 5), "0"),
    ],
)
def test_labels_that_were_never_enough_are_counted(found: Labels, says: str) -> None:
    assert labels(found) == says


ROWS = [
    {"labels_total": 0, "kl": 0.0, "gold_reward_mean": 0.0},
    {"labels_total": 1536, "kl": 4.0, "gold_reward_mean": 1.0, "tokens_generated": 123456},
]
OUTCOME = analyse(
    [
        Runs(method="plain", point="own", rows={0: ROWS, 1: ROWS}),
        Runs(method="partly", point="learn.lr=1", rows={0: ROWS}, failed={"seed 1": "boom"}),
        Runs(method="lost", point="none", failed={"seed 0": "boom", "seed 1": "boom"}),
    ],
    "plain",
)


def test_every_method_has_one_row_however_it_came_out() -> None:
    for sheet in (main_sheet(OUTCOME), cost_sheet(OUTCOME)):
        assert [row[0] for row in sheet.rows] == ["plain", "partly", "lost"]
        assert {len(row) for row in sheet.rows} == {len(sheet.head)}
    runs = [row[1] for row in main_sheet(OUTCOME).rows]
    assert runs == ["2 of 2", "1 of 2", "failed"]
    assert set(main_sheet(OUTCOME).rows[2][2:]) == {"–"}


def test_the_head_says_where_gold_is_compared_and_with_whom() -> None:
    head = main_sheet(OUTCOME).head
    assert "gold at KL 4.00" in head
    assert "− plain" in head
    assert "labels to gold +1.00" in head


def test_costs_are_plain_numbers() -> None:
    sheet = cost_sheet(OUTCOME)
    cells = dict(zip(sheet.head, sheet.rows[0], strict=True))
    assert cells["tokens generated"] == "123\u2009456"
    assert cells["labels"] == "1\u2009536"
    assert cells["win rate"] == "–"


def test_the_grid_shows_what_was_picked_and_what_failed() -> None:
    trials = [
        Trial(method="m", point="own", runs=[ROWS]),
        Trial(method="m", point="learn.lr=2", failed={"seed 1000": "boom"}),
    ]
    rows = grid_sheet(Tuning(trials=trials, kl=1.0, picks={"m": "own"})).rows
    assert rows[0] == ["m", "own *", "1", "4.0", "+0.50", "+1.00"]
    assert rows[1] == ["m", "learn.lr=2", "failed", "0.0", "–", "–"]


def test_a_bar_in_a_name_does_not_end_its_cell() -> None:
    page = Sheet(title="t", head=("method", "x"), rows=[("a|b", "1")]).markdown()
    assert "| a\\|b | 1 |" in page
    assert page.splitlines()[3] == "| --- | ---: |"
