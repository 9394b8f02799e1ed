"""One plot style, and the way from a matplotlib figure to SVG inside a page."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PURPLE, GREY = "#0067a5", "#c9510c", "#00805e", "#8b3f80", "#5b6470"
"""distinct for colour-blind readers too; series differ in marker and dash as well"""

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: sharp, searchable, in the page's own font
    "svg.hashsalt": "prefloop",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9aa3ad",
    "axes.labelcolor": "#3b434c",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e9ed",
    "grid.linewidth": 0.8,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "legend.frameon": False,
    "legend.handlelength": 2.0,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
}


@contextmanager
def style() -> Iterator[None]:
    """The house style while figures are made and saved."""
    with rc_context(STYLE):
        yield


def canvas(width: float = 5.2, height: float = 3.0) -> tuple[Figure, Axes]:
    """An empty plot of so many inches at 72 points, without any pyplot state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def legend(axes: Axes, *, columns: int = 3) -> None:
    """Names of the series above the plot, where they hide nothing."""
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=columns, columnspacing=1.0, borderpad=0
    )


def svg(figure: Figure, name: str, title: str) -> Markup:
    """The figure as an inline `<svg>` that scales with the page.

    Ids get the plot's name as a prefix: two drawings in one page must not share a clip path.
    """
    buffer = StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    drawing = buffer.getvalue()[buffer.getvalue().index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r'(\bid="|url\(#|xlink:href="#)', rf"\g<1>{name}-", drawing)
    root, body = drawing.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', root)
    head = f'<svg role="img" aria-label="{escape(title)}" {box.group() if box else ""}'
    return Markup(f'{head} xmlns:xlink="http://www.w3.org/1999/xlink">{body}')
