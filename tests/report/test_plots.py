"""What is drawn: honest units, and no drawing where there is no line."""

import re

import matplotlib
import pytest

from prefloop.report import plots


def without(metrics, *names):
    return [{**row, **dict.fromkeys(names)} for row in metrics]


def words(plot):
    return re.findall(r"<text[^>]*>([^<]*)</text>", plot.svg)


def test_gold_and_proxy_share_an_axis_only_in_units_that_both_have(metrics):
    plot, _ = plots.main_plots(metrics)
    assert plot.title == "Reward against KL"
    assert "change, round-0 std" in words(plot)


def test_without_a_spread_gold_and_proxy_get_an_axis_each(metrics):
    found = plots.main_plots(without(metrics, "proxy_reward_std"))
    titles = [plot.title for plot in found]
    assert titles[:2] == ["Gold reward against KL", "Proxy reward against KL"]


def test_without_a_proxy_gold_stands_alone(metrics):
    found = plots.main_plots(without(metrics, "proxy_reward_mean", "proxy_reward_std"))
    assert [plot.title for plot in found][:1] == ["Gold reward against KL"]


def test_the_ends_of_the_curve_carry_their_rounds(metrics):
    assert {"round 0", "round 12"} <= set(words(plots.main_plots(metrics)[0]))


def test_a_plot_without_a_line_is_left_out(metrics):
    assert plots.main_plots(metrics[:1]) == []
    assert plots.diagnostics(metrics[:1]) == []
    assert plots.time_per_stage([]) is None


def test_a_label_that_was_not_asked_for_leaves_no_win_rate_curve(metrics):
    titles = [plot.title for plot in plots.main_plots(without(metrics, "labels_total"))]
    assert "Win rate against labels spent" not in titles


def test_time_is_told_as_one_would_say_it(metrics):
    assert plots.time_per_stage(metrics).caption.startswith("2 min 37 s in total: sample 25%")
    assert [plots.duration(s) for s in (4.2, 59.8, 192.0, 19200.0)] == [
        "4 s",
        "1 min 0 s",
        "3 min 12 s",
        "5 h 20 min",
    ]


@pytest.mark.parametrize("rounds", [60, 61, 5000])
def test_very_many_rounds_stay_a_small_drawing(rounds):
    row = {"seconds_sample": 1.0, "seconds_learn": 2.0, "kl": 1.0, "entropy": 1.0}
    metrics = [{"round": n, **row} for n in range(rounds)]
    assert len(plots.time_per_stage(metrics).svg) < 100_000
    assert all(len(plot.svg) < 300_000 for plot in plots.diagnostics(metrics))


def test_drawing_leaves_matplotlib_as_it_was(metrics):
    before = dict(matplotlib.rcParams)
    plots.main_plots(metrics)
    assert dict(matplotlib.rcParams) == before
