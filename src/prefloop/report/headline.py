"""The numbers a run is remembered by: before, after and how sure, for the page and the terminal."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prefloop.measure.health import latest, number

Metrics = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyNumber:
    """One quantity as formatted text; empty where it is not known."""

    name: str
    unit: str
    before: str = ""
    after: str = ""
    low: str = ""
    high: str = ""

    @property
    def change(self) -> str:
        """`before → after`, or the one that is known."""
        return " → ".join(text for text in (self.before, self.after) if text)

    @property
    def interval(self) -> str:
        """The 95 % interval of the later value, or nothing."""
        return f"{self.low} to {self.high}" if self.low and self.high else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """How a metric is called and written."""

    metric: str
    name: str
    unit: str = ""
    digits: int = 2
    has_before: bool = True
    """its value at round 0 says something; a win rate against itself does not"""


QUANTITIES = (
    Quantity(metric="gold_positive", name="P(positive)", unit="by the gold scorer"),
    Quantity(metric="gold_reward_mean", name="Gold reward", unit="mean score"),
    Quantity(metric="win_rate", name="Win rate", unit="against the start", has_before=False),
    Quantity(
        metric="win_rate_length_controlled",
        name="Win rate (LC)",
        unit="at equal length",
        has_before=False,
    ),
    Quantity(metric="eval_accuracy", name="Accuracy", unit="on held-out labels"),
    Quantity(metric="kl", name="KL from the start", unit="nats a sequence", digits=1),
    Quantity(metric="labels_total", name="Labels spent", digits=0, has_before=False),
    Quantity(metric="proxy_reward_mean", name="Proxy reward", unit="mean score"),
    Quantity(metric="nll_ref", name="NLL under the start", unit="nats a token"),
    Quantity(metric="eos_rate", name="Ends by itself", unit="share of responses"),
    Quantity(metric="distinct_2", name="Distinct-2", unit="word pairs"),
    Quantity(metric="response_length_mean", name="Response length", unit="tokens", digits=1),
)
JUDGES_PLACE = 4


def headline(metrics: Metrics) -> list[KeyNumber]:
    """The key numbers that have a value, in the order of `QUANTITIES`; judges after win rates."""
    flat = [{**row, **_judges(row)} for row in metrics]
    judges = [
        Quantity(metric=key, name=key.removeprefix("judge "), unit="held-out judge")
        for key in dict.fromkeys(key for row in flat for key in _judges(row))
    ]
    quantities = [*QUANTITIES[:JUDGES_PLACE], *judges, *QUANTITIES[JUDGES_PLACE:]]
    return [found for quantity in quantities for found in _key_number(flat, quantity)]


def _judges(row: Mapping[str, Any]) -> dict[str, Any]:
    return {f"judge {name}": value for name, value in (row.get("judges") or {}).items()}


def _key_number(metrics: Metrics, quantity: Quantity) -> Iterator[KeyNumber]:
    key, later = quantity.metric, metrics[1:]
    before = number(metrics[0], key) if metrics and quantity.has_before else None
    after = latest(later if quantity.has_before else metrics, key)
    if before is None and after is None:
        return
    row: Mapping[str, Any] = next(
        (row for row in reversed(later) if number(row, key) is not None), {}
    )
    limits = [number(row, f"{key.removesuffix('_mean')}_{end}") for end in ("low", "high")]
    judge = f", by {row['win_judge']}" if key == "win_rate" and row.get("win_judge") else ""
    texts = [_text(value, quantity.digits) for value in (before, after, *limits)]
    known = dict(zip(("before", "after", "low", "high"), texts, strict=True))
    yield KeyNumber(name=quantity.name, unit=quantity.unit + judge, **known)


def _text(value: float | None, digits: int) -> str:
    """With a true minus sign, a thin space between thousands, and never −0."""
    if value is None:
        return ""
    text = f"{round(value, digits) + 0.0:,.{digits}f}"
    return text.replace(",", "\u2009").replace("-", "−")
