"""The key numbers: before, after, intervals, and nothing where nothing is known."""

from io import StringIO

from rich.console import Console

from prefloop.report.headline import headline
from prefloop.report.table import console_table


def named(metrics, name):
    (found,) = [one for one in headline(metrics) if one.name == name]
    return found


def test_a_number_stands_before_and_after_with_its_interval(metrics):
    assert named(metrics, "Gold reward").change == "0.10 → 1.60"
    assert named(metrics, "KL from the start").interval == "11.0 to 13.0"
    assert named(metrics, "vader").change == "0.11 → 0.51"


def test_a_win_rate_has_no_before(metrics):
    found = named(metrics, "Win rate")
    assert (found.before, found.change, found.interval) == ("", "0.81", "0.76 to 0.86")


def test_the_interval_is_of_the_round_that_the_value_is_of(metrics):
    """A run that is stopped may end on a round that was not measured."""
    unmeasured = {"round": 13, "win_rate": None, "win_rate_low": 0.0, "win_rate_high": 1.0}
    assert named([*metrics, unmeasured], "Win rate").interval == "0.76 to 0.86"


def test_a_win_rate_says_who_judged_where_that_is_known(metrics):
    judged = [{**row, "win_judge": "proxy"} for row in metrics]
    assert named(judged, "Win rate").unit == "against the start, by proxy"


def test_labels_are_counted_in_thousands(metrics):
    assert named(metrics, "Labels spent").after == "1\u2009536"


def test_one_round_has_a_before_and_no_after(metrics):
    assert named(metrics[:1], "Gold reward").change == "0.10"
    assert named(metrics[:1], "Gold reward").after == ""


def test_a_negative_number_that_rounds_to_nothing_has_no_sign():
    (found,) = headline([{"kl": -0.001}, {"kl": -3.21}])
    assert found.change == "0.0 → −3.2"


def test_nothing_measured_gives_no_numbers():
    assert headline([]) == []
    assert headline([{"round": 0, "kl": None, "judges": None}]) == []


def test_the_console_table_says_the_same(metrics):
    console = Console(width=100, record=True, file=StringIO())
    console.print(console_table(metrics))
    row = next(line for line in console.export_text().splitlines() if "Gold reward" in line)
    assert "0.10" in row
    assert "1.60" in row
