"""The figures of the report; each leaves itself out where its metrics make no line."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from prefloop.measure.health import number
from prefloop.measure.phases import last_way
from prefloop.report.canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, canvas, legend, style, svg

Metrics = Sequence[Mapping[str, Any]]
STAGES = {"sample": BLUE, "ask": ORANGE, "learn": GREEN, "measure": PURPLE}
MANY = 60
"""rounds above which points lose their markers and bars are joined"""


STANDARDISED = (
    "change, round-0 std",
    "Change in mean reward since round 0, in standard deviations of the initial policy's "
    "responses. Gold falling while the proxy rises is over-optimisation.",
)
RAW = (
    "mean reward",
    "Mean score on the evaluation prompts, one point a round, in the scorer's own unit.",
)
"""the unit of the axis, and the caption, of rewards drawn either way"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A finished drawing with what a reader needs to read it."""

    title: str
    caption: str
    svg: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line: a metric by name, and how it is told from its neighbours."""

    metric: str
    label: str
    colour: str = BLUE
    dash: str = "-"
    marker: str = "o"


def main_plots(metrics: Metrics) -> list[Plot]:
    """What the alignment gained and what it cost."""
    with style():
        return _drawn([*reward_against_kl(metrics), win_rate_by_labels(metrics)])


def diagnostics(metrics: Metrics) -> list[Plot]:
    """What else moved, round by round."""
    with style():
        return _drawn(panel(metrics, **one) for one in PANELS)


def reward_against_kl(metrics: Metrics) -> list[Plot | None]:
    """Gold beside proxy: on one axis in round-0 standard deviations, else on one plot each.

    Raw scores of two models share no unit, and two axes over one another can be made to say
    anything; a standard deviation of the initial policy's responses is a unit both have.
    Of several phases the last is drawn, which began at the initial policy again.
    """
    metrics = last_way(metrics)
    gold = Series(metric="gold_reward_mean", label="gold")
    proxy = Series(metric="proxy_reward_mean", label="proxy", colour=ORANGE, dash="--", marker="s")
    scaled = [_standardised(metrics, series.metric) for series in (gold, proxy)]
    if all(scaled):
        return [_against_kl(scaled, (gold, proxy), "Reward against KL", *STANDARDISED)]
    return [
        _against_kl([metrics], (series,), f"{series.label.capitalize()} reward against KL", *RAW)
        for series in (gold, proxy)
    ]


def win_rate_by_labels(metrics: Metrics) -> Plot | None:
    """How much a label buys."""
    raw = Series(metric="win_rate", label="win rate, 95 % interval")
    controlled = Series(
        metric="win_rate_length_controlled",
        label="at equal length",
        colour=ORANGE,
        dash="--",
        marker="s",
    )
    figure, axes = canvas()
    drawn = [_line(axes, metrics, series, x="labels_total") for series in (raw, controlled)]
    if not any(drawn):
        return None
    _band(axes, metrics, "win_rate", x="labels_total")
    axes.axhline(0.5, color=GREY, linewidth=1, linestyle=":")
    low, high = axes.get_ylim()
    axes.set(xlabel="labels spent", ylabel="win rate", ylim=(min(low, 0.4), min(high, 1.02)))
    legend(axes)
    title = "Win rate against labels spent"
    judge = next((row["win_judge"] for row in reversed(metrics) if row.get("win_judge")), None)
    by = f" by {judge}" if judge else ""
    caption = f"Against the initial policy{by} on held-out prompts, ties one half; dotted: equal."
    return Plot(title=title, caption=caption, svg=svg(figure, "win", title))


PANELS: tuple[dict[str, Any], ...] = (
    {
        "name": "likelihood",
        "title": "Chosen and rejected",
        "caption": "Log-probability of the answers learned from; both falling deserves a look.",
        "unit": "nats a response",
        "series": (
            Series(metric="logp_chosen", label="chosen"),
            Series(metric="logp_rejected", label="rejected", colour=ORANGE, dash="--", marker="s"),
        ),
    },
    {
        "name": "length",
        "title": "Response length",
        "caption": "Mean on the evaluation prompts.",
        "unit": "tokens",
        "series": (Series(metric="response_length_mean", label="length"),),
    },
    {
        "name": "fluency",
        "title": "Fluency",
        "caption": "NLL of the responses under the initial model; lower is more like it.",
        "unit": "nats a token",
        "series": (Series(metric="nll_ref", label="NLL under the initial model"),),
    },
    {
        "name": "texts",
        "title": "Endings and diversity",
        "caption": "Share of responses that end by themselves; different word pairs over all.",
        "unit": "share",
        "series": (
            Series(metric="eos_rate", label="ends"),
            Series(metric="distinct_2", label="distinct-2", colour=GREEN, dash="--", marker="s"),
            Series(metric="duplicates", label="duplicates", colour=PURPLE, dash=":", marker="^"),
        ),
    },
    {
        "name": "loss",
        "title": "Loss",
        "caption": "Of a round's first step and over the whole round.",
        "unit": "loss",
        "series": (
            Series(metric="loss_first", label="first step", colour=GREY, dash="--", marker="s"),
            Series(metric="loss", label="round"),
        ),
    },
    {
        "name": "answers",
        "title": "Answers",
        "caption": "How often the policy's own order agrees with the label; how many are ties.",
        "unit": "share",
        "series": (
            Series(metric="accuracy", label="accuracy"),
            Series(metric="eval_accuracy", label="held out", colour=GREEN, dash="-.", marker="^"),
            Series(metric="ties", label="ties", colour=ORANGE, dash="--", marker="s"),
        ),
    },
    {
        "name": "reward_model",
        "title": "Reward model",
        "caption": "Held-out answers it agrees with; how often it ranks two samples of the policy "
        "as gold does.",
        "unit": "share",
        "series": (
            Series(metric="reward_accuracy", label="on answers"),
            Series(metric="proxy_accuracy", label="on samples", colour=ORANGE, marker="s"),
        ),
    },
    {
        "name": "critic",
        "title": "Critic",
        "caption": "Mean squared error of its values against what came.",
        "unit": "squared reward",
        "series": (Series(metric="value_error", label="critic"),),
    },
    {
        "name": "entropy",
        "title": "Entropy",
        "caption": "Of the policy's next token, on its own responses.",
        "unit": "nats a token",
        "series": (Series(metric="entropy", label="entropy"),),
    },
)


def panel(
    metrics: Metrics, *, name: str, title: str, caption: str, unit: str, series: Sequence[Series]
) -> Plot | None:
    """A small plot of metrics by round."""
    figure, axes = canvas(3.6, 2.4)
    drawn = [_line(axes, metrics, one, x="round") for one in series]
    if not any(drawn):
        return None
    axes.set(xlabel="round", ylabel=unit)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if unit == "share":
        axes.set_ylim(-0.03, 1.03)
    if len(series) > 1:
        legend(axes)
    return Plot(title=title, caption=caption, svg=svg(figure, name, title))


def time_per_stage(metrics: Metrics) -> Plot | None:
    """Seconds of each stage, stacked; rounds are joined where there are very many."""
    size = ceil(len(metrics) / MANY) if metrics else 1
    groups = [metrics[start : start + size] for start in range(0, len(metrics), size)]
    spent = {stage: [_seconds(group, stage) for group in groups] for stage in STAGES}
    total = sum(sum(seconds) for seconds in spent.values())
    if not total:
        return None
    with style():
        figure, axes = canvas(11.0, 2.6)
        _stack(axes, [number(group[0], "round") or 0.0 for group in groups], spent, size)
        title = "Time per stage"
        drawing = svg(figure, "time", title)
    shares = ", ".join(f"{stage} {sum(s) / total:.0%}" for stage, s in spent.items() if sum(s))
    return Plot(title=title, caption=f"{duration(total)} in total: {shares}.", svg=drawing)


def duration(seconds: float) -> str:
    """As one would say it: 42 s, 3 min 12 s, 5 h 20 min."""
    minutes, left = divmod(round(seconds), 60)
    if not minutes:
        return f"{left} s"
    return f"{minutes} min {left} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _against_kl(
    columns: Sequence[Metrics], series: Sequence[Series], title: str, unit: str, caption: str
) -> Plot | None:
    """The series, each from its own table, over KL; the ends of the first one are named."""
    figure, axes = canvas()
    drawn = [_line(axes, m, s, x="kl") for m, s in zip(columns, series, strict=True)]
    if not any(drawn):
        return None
    _name_ends(axes, columns[0], series[0].metric)
    axes.set(xlabel="KL from the initial policy, nats a sequence", ylabel=unit)
    if len(series) > 1:
        legend(axes)
    return Plot(title=title, caption=caption, svg=svg(figure, series[0].metric, title))


def _standardised(metrics: Metrics, name: str) -> list[dict[str, Any]]:
    """The rows with (x − x₀) / std₀ in place of x; nothing where round 0 lacks either."""
    start = metrics[0] if metrics else {}
    mean, std = number(start, name), number(start, name.replace("_mean", "_std"))
    if mean is None or not std:
        return []
    values = [(row, number(row, name)) for row in metrics]
    return [{**row, name: None if x is None else (x - mean) / std} for row, x in values]


def _line(axes: Axes, metrics: Metrics, series: Series, *, x: str) -> bool:
    """Draw one series where both of its numbers are there; say whether it makes a line."""
    points = _points(metrics, x, series.metric)
    if points:
        axes.plot(
            *zip(*points, strict=True),
            color=series.colour,
            linestyle=series.dash,
            marker=series.marker if len(points) <= MANY else "",
            label=series.label,
        )
    return len(points) > 1


def _band(axes: Axes, metrics: Metrics, name: str, *, x: str) -> None:
    """The interval around a metric; a bar where it is a single point."""
    rows = _points(metrics, x, f"{name}_low", f"{name}_high")
    if not rows:
        return
    at, low, high = zip(*rows, strict=True)
    axes.fill_between(at, low, high, color=BLUE, alpha=0.14, linewidth=0)
    axes.vlines(at, low, high, color=BLUE, alpha=0.35, linewidth=1)


def _name_ends(axes: Axes, metrics: Metrics, name: str) -> None:
    """Say which rounds a curve runs from and to, above the higher end and below the lower one."""
    points = _points(metrics, "kl", name, "round")
    ends = sorted({points[0], points[-1]}, key=lambda end: end[1]) if points else []
    for offset, (at, value, step) in zip((-13, 7), ends, strict=False):
        axes.annotate(
            f"round {step:.0f}",
            (at, value),
            xytext=(0, offset),
            textcoords="offset points",
            ha="center",
            color=GREY,
            fontsize=8,
        )
    axes.margins(x=0.08, y=0.14)


def _points(metrics: Metrics, *names: str) -> list[tuple[float, ...]]:
    rows = [[number(row, name) for name in names] for row in metrics]
    return [tuple(x for x in row if x is not None) for row in rows if None not in row]


def _stack(axes: Axes, at: list[float], spent: dict[str, list[float]], size: int) -> None:
    base = [0.0] * len(at)
    for stage, seconds in spent.items():
        if any(seconds):
            axes.bar(at, seconds, 0.8 * size, base, color=STAGES[stage], label=stage)
            base = [below + more for below, more in zip(base, seconds, strict=True)]
    axes.set(xlabel="round" if size == 1 else f"round, {size} to a bar", ylabel="seconds")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(axis="x", visible=False)
    legend(axes, columns=4)


def _seconds(rows: Metrics, stage: str) -> float:
    return sum(number(row, f"seconds_{stage}") or 0.0 for row in rows)


def _drawn(plots: Iterable[Plot | None]) -> list[Plot]:
    return [plot for plot in plots if plot]
