"""The lines of the drawing are means of what the runs had."""

from pathlib import Path

import pytest

from prefloop.compare.analysis import Runs, analyse
from prefloop.compare.plots import by_kl, by_labels, draw


def rows(*points: tuple[int, float | None, float | None]) -> list[dict[str, float | None]]:
    return [{"labels_total": n, "kl": kl, "gold_reward_mean": gold} for n, kl, gold in points]


TWO = Runs(
    method="two",
    rows={
        0: rows((0, 0.0, 0.0), (100, 4.0, 2.0), (200, 9.0, 3.0)),
        1: rows((0, 0.0, 0.0), (200, 4.0, 4.0)),
    },
)
BLIND = Runs(method="blind", rows={0: rows((0, None, None), (100, None, None))})


def test_the_mean_frontier_ends_where_the_slowest_seed_does() -> None:
    """Golds are √KL and 2√KL, so their mean is 1.5√KL."""
    kls, golds = by_kl(TWO)
    assert (kls[0], kls[-1]) == (0, pytest.approx(4))
    assert golds == pytest.approx([1.5 * kl**0.5 for kl in kls])


def test_the_mean_over_labels_is_linear_between_rounds() -> None:
    assert by_labels(TWO) == ([0, 100, 200], pytest.approx([0, (2 + 2) / 2, (3 + 4) / 2]))


def test_a_method_that_was_never_measured_has_no_line_and_spoils_nothing(tmp_path: Path) -> None:
    assert by_labels(BLIND) == by_kl(BLIND) == ([], [])
    draw(analyse([TWO, BLIND], "two"), tmp_path / "c.svg")
    assert "two" in (tmp_path / "c.svg").read_text()
