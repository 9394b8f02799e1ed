"""Rates and means with their confidence intervals: numpy and a normal quantile, nothing more."""

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Real

Values = Sequence[float | int] | Real[np.ndarray, " sample"] | Bool[np.ndarray, " sample"]


class Interval(NamedTuple):
    """An estimate between its confidence limits."""

    value: float
    low: float
    high: float


def mean_interval(values: Values, level: float = 0.95) -> Interval:
    """The mean and its t-interval, mean ± t · s/√n.

    One value has no spread to estimate: its interval is the whole line. ValueError for none at all.
    """
    x = _checked(values, "values")
    mean, n = float(x.mean()), len(x)
    if n == 1:
        return Interval(mean, -np.inf, np.inf)
    half = t_quantile((1 + level) / 2, n - 1) * float(x.std(ddof=1)) / sqrt(n)
    return Interval(mean, mean - half, mean + half)


def win_rate(scores: Values, baseline_scores: Values, level: float = 0.95) -> Interval:
    """Share of prompts where the score beats the baseline's, a tie counting one half.

    The limits are Wilson's (1927), which stay inside [0, 1] and hold at rates near 0 and 1; ties
    vary less than a coin does, so with them the interval is a little wide.
    """
    x = wins(scores, baseline_scores)
    rate, n = float(x.mean()), len(x)
    z = NormalDist().inv_cdf((1 + level) / 2)
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Interval(rate, min(rate, centre - half), max(rate, centre + half))


def wins(scores: Values, baseline_scores: Values) -> Float[np.ndarray, " sample"]:
    """1 where the score is above the baseline's, 0 where below, ½ where equal; by prompt."""
    x, y = _checked(scores, "scores"), _checked(baseline_scores, "baseline_scores")
    if len(x) != len(y):
        raise ValueError(f"scores and baseline_scores pair up by prompt, got {len(x)} and {len(y)}")
    return np.asarray((1 + np.sign(x - y)) / 2)


def length_controlled_win_rate(
    wins: Values, length_difference: Values, *, ridge: float = 1e-2
) -> float | None:
    """The win rate there would be between responses of equal length.

        P(win) = σ(θ + φ · tanh(Δ / std Δ)),   reported: σ(θ)

    Dubois et al. 2024 (arXiv:2404.04475, eq. 3, without the term per instruction). Δ is not
    centred: equal length is Δ = 0. `ridge` · φ²/2 keeps the fit finite where length alone predicts
    the wins. None where length and quality cannot be told apart: Δ constant and not zero.
    """
    won, delta = _checked(wins, "wins"), _checked(length_difference, "length_difference")
    if len(won) != len(delta):
        raise ValueError(f"one length difference per win, got {len(delta)} for {len(won)}")
    if won.std() == 0 or not delta.any():
        return float(won.mean())
    if delta.std() == 0:
        return None
    return _fitted_at_zero(won, np.tanh(delta / delta.std()), ridge)


def _fitted_at_zero(won: np.ndarray, length: np.ndarray, ridge: float) -> float:
    """σ(θ) of the ridge logistic regression of `won` on [1, length], by Newton's method."""
    x = np.stack([np.ones_like(length), length], axis=1)
    weights, penalty = np.zeros(2), np.diag([ridge * 1e-3, ridge])
    for _ in range(100):
        p = _sigmoid(x @ weights)
        gradient = x.T @ (won - p) - penalty @ weights
        step = np.linalg.solve(x.T @ (x * (p * (1 - p))[:, None]) + penalty, gradient)
        weights += step * min(1.0, 2.0 / float(np.abs(step).max() + 1e-300))
        if np.abs(step).max() < 1e-10:
            break
    return float(_sigmoid(weights[:1])[0])


def t_quantile(p: float, freedom: int) -> float:
    """Student's t quantile: exact for one and two degrees of freedom, else Cornish–Fisher.

    Abramowitz and Stegun 26.7.5; at p = .975 within 0.2 % for three degrees of freedom and within
    0.01 % for six.
    """
    if freedom == 1:
        return float(np.tan(np.pi * (p - 0.5)))
    if freedom == 2:
        return (2 * p - 1) * sqrt(2 / (4 * p * (1 - p)))
    z, v = NormalDist().inv_cdf(p), float(freedom)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(float(term) / v ** (i + 1) for i, term in enumerate(terms))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return (1 + np.tanh(x / 2)) / 2


def _checked(values: Values, name: str) -> np.ndarray:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not len(x):
        raise ValueError(f"{name} must be a non-empty list of numbers, got shape {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError(f"{name} must be finite; leave missing ones out, got {x.tolist()[:5]} …")
    return x
