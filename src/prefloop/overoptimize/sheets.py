"""What came out, as tables."""

from collections.abc import Sequence
from math import inf, isinf

from prefloop.compare.sheets import NONE, Sheet
from prefloop.measure.intervals import Interval
from prefloop.overoptimize.analysis import Chosen, Climbed, Outcome


def sheets(outcome: Outcome) -> list[Sheet]:
    """Best of n first; policies where there are any."""
    return [best_of_sheet(outcome.chosen, outcome.threshold)] + (
        [policy_sheet(outcome.climbed)] if outcome.climbed else []
    )


def best_of_sheet(found: Sequence[Chosen], threshold: float) -> Sheet:
    """A row a proxy: what best of n by it is worth, and for how long."""
    last = found[0].counts[-1]
    head = (
        *("proxy", "right about π₀'s pairs", "correlation with gold", "α", "β", "peak at √KL"),
        *(f"gold at best of {last}", "proxy there", f"right {threshold:g} of the time up to KL"),
    )
    rows = [
        [
            one.proxy,
            f"{one.accuracy[0]:.3f}",
            _number(one.correlation),
            between(one.law.alpha),
            between(one.law.beta),
            between(one.law.distance),
            f"{_number(one.gold_gain[-1])} ± {1.96 * one.gold_error[-1]:.2f}",
            _number(one.proxy_gain[-1]),
            between(one.accurate),
        ]
        for one in found
    ]
    return Sheet(
        title="Best of n, gains in standard deviations of π₀'s samples; R(d) = d (α − β d)",
        head=head,
        rows=rows,
    )


def policy_sheet(found: Sequence[Climbed]) -> Sheet:
    """A row for each recipe and proxy."""
    head = (
        *("policy", "proxy", "runs", "α", "β", "peak at √KL", "largest gold", "at √KL"),
        *("gold at the end", "√KL there"),
    )
    return Sheet(
        title="Policies, mean over seeds; R(d) = d (α − β log d)",
        head=head,
        rows=[_policy_row(one) for one in found],
    )


def _policy_row(one: Climbed) -> list[str]:
    runs = list(one.runs.values())
    if not runs:
        return [one.policy, one.proxy, "failed", *[NONE] * 7]
    tops = [max(zip(gold, far, strict=True)) for far, _, gold in runs]
    law = one.law
    laws = [between(x) for x in (law.alpha, law.beta, law.distance)] if law else [NONE] * 3
    return [
        one.policy,
        one.proxy,
        f"{len(runs)} of {len(runs) + len(one.failed)}",
        *laws,
        _number(_mean([top for top, _ in tops])),
        _number(_mean([far for _, far in tops])),
        _number(_mean([gold[-1] for _, _, gold in runs])),
        _number(_mean([far[-1] for far, _, _ in runs])),
    ]


def between(found: Interval) -> str:
    """`0.52 (0.40 to 0.61)`; never is infinitely far, and one run has no limits."""
    if found.low == -inf:
        return _number(found.value)
    if isinf(found.value) and isinf(found.low):
        return "never"
    return f"{_number(found.value)} ({_number(found.low)} to {_number(found.high)})"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _number(value: float) -> str:
    if isinf(value):
        return "never"
    return (f"{value:.2f}" if abs(value) < 100 else f"{value:.1e}").replace("-", "−")
