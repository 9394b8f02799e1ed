"""The report: one HTML file that opens anywhere, with no network, no scripts and no other file."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from prefloop import whole
from prefloop.measure.health import Verdict, number
from prefloop.report import plots
from prefloop.report.headline import headline

FOLDER = Path(__file__).parent
SEVERITY = ("stop", "watch", "ok")


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """What the initial and the aligned policy say to one held-out prompt."""

    prompt: str
    before: str
    after: str
    score_before: float | None = None
    score_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A comparison that was asked about and its answer, p = P(a ≻ b)."""

    prompt: str
    a: str
    b: str
    p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All that the page shows; made from the run folder by whoever may read it."""

    title: str
    metrics: Sequence[Mapping[str, Any]]
    status: str = "finished"
    """finished, stopped or running"""
    created: str = ""
    notes: Sequence[str] = ()
    """what a reader must know to read the numbers, such as the sampling law the KL is of"""
    examples: Sequence[Example] = ()
    preferences: Sequence[Asked] = ()
    verdicts: Sequence[Verdict] = ()
    config_yaml: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


def write(summary: Summary, path: Path) -> None:
    """Render to a file in one move, so that a reader never opens half a page."""
    whole.write(path, render(summary), errors="replace")


def render(summary: Summary) -> str:
    """The page as text. Everything but our own CSS and drawings is escaped: samples are foreign."""
    pages = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    metrics = summary.metrics
    return pages.get_template("page.html.j2").render(
        summary=summary,
        css=Markup((FOLDER / "page.css").read_text(encoding="utf-8")),
        rounds=int(number(metrics[-1], "round") or 0) if metrics else 0,
        numbers=headline(metrics),
        main=plots.main_plots(metrics),
        diagnostics=plots.diagnostics(metrics),
        time=plots.time_per_stage(metrics),
        verdicts=sorted(summary.verdicts, key=lambda v: SEVERITY.index(v.verdict)),
        counts=Counter(v.verdict for v in summary.verdicts),
        table=rounds_table(metrics),
    )


COLUMNS = {
    "round": ("Round", "{:.0f}"),
    "labels_total": ("Labels", "{:.0f}"),
    "labels_missing": ("Missing", "{:.0f}"),
    "ties": ("Ties", "{:.0%}"),
    "gold_reward_mean": ("Gold", "{:.2f}"),
    "proxy_reward_mean": ("Proxy", "{:.2f}"),
    "win_rate": ("Win rate", "{:.2f}"),
    "kl": ("KL", "{:.1f}"),
    "nll_ref": ("NLL", "{:.2f}"),
    "response_length_mean": ("Length", "{:.1f}"),
    "eos_rate": ("Ends", "{:.0%}"),
    "distinct_2": ("Distinct\u20112", "{:.2f}"),
    "loss": ("Loss", "{:.3f}"),
    "accuracy": ("Accuracy", "{:.0%}"),
    "logp_chosen": ("Log p chosen", "{:.1f}"),
    "logp_rejected": ("Log p rejected", "{:.1f}"),
    "tokens_generated": ("Tokens drawn", "{:,.0f}"),
    "tokens_trained": ("Tokens trained", "{:,.0f}"),
}


def rounds_table(
    metrics: Sequence[Mapping[str, Any]], most: int = 200
) -> tuple[list[str], list[list[str]]]:
    """Titles and rows of the numbers by round; columns without any are left out.

    Of more than `most` rounds, evenly spaced ones, the first and the last among them.
    """
    last = len(metrics) - 1
    few = sorted({round(i * last / (most - 1)) for i in range(most)}) if last >= most else None
    rows = [metrics[i] for i in few] if few else list(metrics)
    shown = [name for name in COLUMNS if any(number(row, name) is not None for row in rows)]
    return [COLUMNS[name][0] for name in shown], [
        [_cell(number(row, name), COLUMNS[name][1]) for name in shown] for row in rows
    ]


def _cell(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value).replace(",", "\u2009").replace("-", "−")
