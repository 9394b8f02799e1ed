"""What is gained, and when it is lost again, as a proxy reward is optimised: laws and their fit.

Distances are d = √KL(π‖π₀), rewards are counted from π₀'s.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, log
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Real

from prefloop.measure.intervals import Interval

Kind = Literal["best_of_n", "rl"]
Points = Sequence[float | int] | Float[np.ndarray, " point"]
Counts = Int[np.ndarray, "draw row"]
Curve = tuple[Points, Points]
"""distances and rewards of one prompt, or of one seed"""


class Peak(NamedTuple):
    """Where the gold reward is largest; infinitely far where the law rises for ever."""

    distance: float
    reward: float


@dataclass(frozen=True, kw_only=True)
class Law:
    """Gold reward at distance d from π₀, after Gao et al. 2022 (arXiv:2210.10760).

        best of n:  R(d) = d (α − β d),       largest at α/2β:       α²/4β
        RL:         R(d) = d (α − β log d),   largest at e^(α/β−1):  β e^(α/β−1)

    α is what the proxy is worth at first, β how fast that is used up. The second law has an
    infinite slope at zero: it does not hold there.
    """

    kind: Kind
    alpha: float
    beta: float

    def at(self, distance: float) -> float:
        """R(d)."""
        if distance == 0:
            return 0.0
        used = distance if self.kind == "best_of_n" else log(distance)
        return distance * (self.alpha - self.beta * used)

    @property
    def peak(self) -> Peak:
        if self.kind == "best_of_n":
            return _best_of_n_peak(self.alpha, self.beta)
        return _rl_peak(self.alpha, self.beta)


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A law by least squares, between what it might as well have been."""

    law: Law
    alpha: Interval
    beta: Interval
    distance: Interval
    """√KL of the peak"""
    reward: Interval
    """gold reward there"""


def fit(curves: Sequence[Curve], kind: Kind) -> Law:
    """The law nearest to all points of all curves, in squared reward; both are linear in α and β.

    Points at distance zero say nothing. ValueError for fewer than two distances.
    """
    bent, pulled = _normal_equations(curves, kind)
    return Law(kind=kind, **_solved(bent.sum(0), pulled.sum(0)))


def fit_interval(curves: Sequence[Curve], kind: Kind, counts: Counts) -> Fitted:
    """The same, with 95 % percentile intervals from the curves as often as `counts` has them."""
    bent, pulled = _normal_equations(curves, kind)
    law = fit(curves, kind)
    sums = np.tensordot(counts, bent, 1), np.tensordot(counts, pulled, 1)
    laws = [Law(kind=kind, **_solved(one, other)) for one, other in zip(*sums, strict=True)]

    def within(of: Callable[[Law], float]) -> Interval:
        return Interval(of(law), *percentiles([of(one) for one in laws]))

    return Fitted(
        law=law,
        alpha=within(lambda one: one.alpha),
        beta=within(lambda one: one.beta),
        distance=within(lambda one: one.peak.distance),
        reward=within(lambda one: one.peak.reward),
    )


def farthest_accurate_kl(kl: Points, accuracy: Points, threshold: float = 0.75) -> float | None:
    """How far from π₀ the scorer is right often enough: the first crossing, linear between points.

    Points in order of KL. None if it is accurate wherever it was measured, the first KL if nowhere.
    The natural moment to train the scorer anew.
    """
    far, right = np.asarray(kl, np.float64), np.asarray(accuracy, np.float64)
    if far.shape != right.shape or far.ndim != 1 or not len(far):
        raise ValueError(f"one accuracy for each KL, got {right.shape} for {far.shape}")
    if (np.diff(far) < 0).any():
        raise ValueError(f"KL must not fall along a path, got {far.tolist()}; sort the points")
    below = np.flatnonzero(right < threshold)
    if not len(below):
        return None
    i = int(below[0])
    if i == 0:
        return float(far[0])
    share = (right[i - 1] - threshold) / (right[i - 1] - right[i])
    return float(far[i - 1] + share * (far[i] - far[i - 1]))


def farthest_accurate_kl_interval(
    kl: Points, accuracies: Float[np.ndarray, "row point"], counts: Counts, threshold: float = 0.75
) -> Interval:
    """The same of the rows' mean, with a 95 % percentile interval; ∞ for never crossed.

    NaN is a row in which there was nothing to compare.
    """

    def crossing(weights: Real[np.ndarray, " row"]) -> float:
        known = ~np.isnan(accuracies) * weights[:, None]
        means = (known * np.nan_to_num(accuracies)).sum(0) / known.sum(0)
        found = farthest_accurate_kl(kl, means, threshold)
        return inf if found is None else found

    drawn = [crossing(weights) for weights in counts]
    return Interval(crossing(np.ones(len(accuracies))), *percentiles(drawn))


def resampled(
    rng: np.random.Generator, rows: int, *, groups: int = 1, draws: int = 1000
) -> Int[np.ndarray, "draw row"]:
    """How often each row is drawn when so many are drawn with replacement, `draws` times.

    Rows that stand in for two samples at once (each of `groups` seeds on the same prompts, seed
    after seed) are drawn by both: a seed's rows together, and a prompt's together.
    """
    each = rows // groups
    if each * groups != rows:
        raise ValueError(f"rows must be as many in each of {groups} groups, got {rows} in all")
    inner = rng.multinomial(each, np.full(each, 1 / each), size=draws)
    outer = rng.multinomial(groups, np.full(groups, 1 / groups), size=draws)
    return np.asarray((outer[:, :, None] * inner[:, None, :]).reshape(draws, rows))


def regressional(
    proxy: float,
    *,
    gold_variance: float,
    error_variance: float,
    gold_mean: float = 0.0,
    error_mean: float = 0.0,
) -> float:
    """E[gold | proxy] where proxy = gold + an independent normal error: regression to the mean.

        E X + (c − E X − E Z) · Var X / (Var X + Var Z)

    The mildest of Goodhart's effects: gold rises less than the proxy, but never falls. What falls
    has an error with a heavier tail than the gold reward.
    """
    share = gold_variance / (gold_variance + error_variance)
    return gold_mean + (proxy - gold_mean - error_mean) * share


def percentiles(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """The limits between which that share of the values lies; some may be infinite."""
    ends = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(np.asarray(values, np.float64), ends, method="inverted_cdf")
    return float(low), float(high)


def _best_of_n_peak(alpha: float, beta: float) -> Peak:
    if beta <= 0:
        return Peak(inf, inf)
    if alpha <= 0:
        return Peak(0.0, 0.0)
    return Peak(alpha / (2 * beta), alpha**2 / (4 * beta))


def _rl_peak(alpha: float, beta: float) -> Peak:
    if beta <= 0:
        return Peak(inf, inf)
    with np.errstate(over="ignore"):
        distance = float(np.exp(np.float64(alpha / beta - 1)))
    return Peak(distance, beta * distance)


def _normal_equations(
    curves: Sequence[Curve], kind: Kind
) -> tuple[Float[np.ndarray, "curve 2 2"], Float[np.ndarray, "curve 2"]]:
    """XᵀX and Xᵀy of every curve, X = [d, −d g(d)] with g(d) = d or log d."""
    bent, pulled, seen = [], [], set()
    for distances, rewards in curves:
        d, reward = np.asarray(distances, np.float64), np.asarray(rewards, np.float64)
        if d.shape != reward.shape or not (np.isfinite(d).all() and np.isfinite(reward).all()):
            raise ValueError(
                f"a curve is as many finite rewards as distances, got {d.shape} and {reward.shape}"
            )
        d, reward = d[d > 0], reward[d > 0]
        seen |= set(d.tolist())
        rows = np.stack([d, -d * (d if kind == "best_of_n" else np.log(d))], axis=1)
        bent.append(rows.T @ rows)
        pulled.append(rows.T @ reward)
    if len(seen) < 2:
        raise ValueError(
            f"a law of two numbers needs at least 2 distances above zero, got {sorted(seen)}; "
            "measure on the way"
        )
    return np.array(bent), np.array(pulled)


def _solved(
    bent: Float[np.ndarray, "2 2"], pulled: Float[np.ndarray, " 2"]
) -> dict[Literal["alpha", "beta"], float]:
    """α and β; the smallest of them where the curves drawn lie at one distance only."""
    alpha, beta = np.linalg.lstsq(bent, pulled, rcond=1e-12)[0].tolist()
    return {"alpha": alpha, "beta": beta}
