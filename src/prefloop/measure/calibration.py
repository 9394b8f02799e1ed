"""Does a difference in reward mean what the Bradley–Terry law says it means?"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import numpy as np
from jaxtyping import Float

from prefloop.measure.reward import Pairs, hits, paired


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Pairs of like confidence."""

    low: float
    high: float
    count: int
    confidence: float
    """mean σ(|Δr|)"""
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How far P(a ≻ b) = σ(Δr) is from what the labels say; all on the decided and tied pairs."""

    bins: tuple[Bin, ...]
    """those with pairs in them"""
    ece: float
    """expected calibration error, Σ n_b/N · |accuracy − confidence|"""
    brier: float
    """E (σ(Δr) − label)²"""
    nll: float
    """E −log of the probability of the label, nats"""
    temperature: float
    """T of the σ(Δr/T) with the least nll: above 1 too sure, ∞ no better than a coin, 0 never
    wrong on these pairs"""
    nll_at_temperature: float


def calibration(margin: Pairs, p: Pairs, *, bins: int = 10) -> Calibration:
    """Bins of equal width of σ(|Δr|) in [½, 1] (Guo et al. 2017, arXiv:1706.04599), and scores.

    Soft labels count by their probability: with a label drawn from p, everything here has the same
    expectation. A tie (p = ½) is a label that is a coin.
    """
    found, label = paired(margin, p)
    grouped = _bins(found, label, bins)
    best = temperature(found, label)
    return Calibration(
        bins=grouped,
        ece=sum(b.count * abs(b.accuracy - b.confidence) for b in grouped) / len(found),
        brier=float(_brier(found, label).mean()),
        nll=nll(found, label),
        temperature=best,
        nll_at_temperature=_nll_at(best, found, label),
    )


def nll(margin: Pairs, p: Pairs) -> float:
    """Mean cross-entropy −p log σ(Δr) − (1−p) log σ(−Δr), in nats."""
    found, label = paired(margin, p)
    return float((label * np.logaddexp(0, -found) + (1 - label) * np.logaddexp(0, found)).mean())


def temperature(margin: Pairs, p: Pairs) -> float:
    """The T > 0 at which the mean nll of σ(Δr/T) is least; see `Calibration.temperature`.

    In s = 1/T the nll is convex: its slope −E[Δr (p − σ(s Δr))] is bisected.
    """
    found, label = paired(margin, p)

    def slope(s: float) -> float:
        return float((found * (_sigmoid(s * found) - label)).mean())

    if slope(0.0) >= 0:
        return inf
    if not (label * (found < 0) + (1 - label) * (found > 0)).any():
        return 0.0
    return 1 / _root(slope)


def _root(slope: Callable[[float], float]) -> float:
    """Where a rising function that begins below zero crosses it."""
    low, high = 0.0, 1.0
    while slope(high) < 0:
        low, high = high, 2 * high
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return (low + high) / 2


def _bins(
    margin: Float[np.ndarray, " pair"], p: Float[np.ndarray, " pair"], count: int
) -> tuple[Bin, ...]:
    sure, right = _sigmoid(np.abs(margin)), hits(margin, p)
    edges = np.linspace(0.5, 1.0, count + 1)
    which = np.clip(np.searchsorted(edges, sure, side="right") - 1, 0, count - 1)
    return tuple(
        Bin(
            low=float(edges[b]),
            high=float(edges[b + 1]),
            count=int((which == b).sum()),
            confidence=float(sure[which == b].mean()),
            accuracy=float(right[which == b].mean()),
        )
        for b in np.unique(which)
    )


def _brier(
    margin: Float[np.ndarray, " pair"], p: Float[np.ndarray, " pair"]
) -> Float[np.ndarray, " pair"]:
    q = _sigmoid(margin)
    return np.asarray(p * (1 - q) ** 2 + (1 - p) * q**2)


def _nll_at(t: float, margin: Float[np.ndarray, " pair"], p: Float[np.ndarray, " pair"]) -> float:
    if t == 0:
        return float(np.log(2) * (margin == 0).mean())
    return nll(margin / t, p)


def _sigmoid(x: Float[np.ndarray, " pair"]) -> Float[np.ndarray, " pair"]:
    return np.asarray((1 + np.tanh(x / 2)) / 2)
