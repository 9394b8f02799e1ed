"""Logistic regressions that are pulled towards anchors: many at once, to machine precision."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

Thetas = Float[np.ndarray, "member feature"]
Each = Float[np.ndarray, " member"]

STEPS = 200
NEAR = 1e-8
"""a Newton step this small, relative to θ, leaves an error of its square"""


@dataclass(frozen=True, kw_only=True)
class Anchored:
    """Minimise Σ_n w_mn BCE(p_n, σ(θ_m·δ_n)) + ridge/2 ‖θ_m − θ⁰_m‖², for every member m."""

    rows: Float[np.ndarray, "pair feature"]
    p: Float[np.ndarray, " pair"]
    weights: Float[np.ndarray, "member pair"]
    anchors: Thetas
    ridge: float

    def minimum(self, start: Thetas) -> Thetas:
        """The minimisers, by Newton's method, damped where it overshoots."""
        thetas = start
        for _ in range(STEPS):
            slope = self.slope(thetas)
            step = self._step(thetas, slope)
            if (np.abs(step) <= NEAR * (1 + np.abs(thetas))).all():
                return np.asarray(thetas + step)
            thetas = thetas + self._damped(thetas, step, promised=(slope * step).sum(1))
        raise ArithmeticError(
            f"the members found no rest in {STEPS} steps, with explore.ridge {self.ridge:g} and "
            f"features up to {np.abs(self.rows).max():.3g}; raise explore.ridge"
        )

    def value(self, thetas: Thetas) -> Each:
        """What is minimised, of each member."""
        logits = thetas @ self.rows.T
        fit = self.weights * (np.logaddexp(0, logits) - self.p * logits)
        pull = ((thetas - self.anchors) ** 2).sum(1)
        return np.asarray(fit.sum(1) + self.ridge / 2 * pull)

    def slope(self, thetas: Thetas) -> Thetas:
        """Its gradient in θ."""
        error = self.weights * (_sigmoid(thetas @ self.rows.T) - self.p)
        return np.asarray(error @ self.rows + self.ridge * (thetas - self.anchors))

    def _step(self, thetas: Thetas, slope: Thetas) -> Thetas:
        """−(ridge I + DᵀWD)⁻¹ slope; with fewer pairs than features by Woodbury, in O(pairs³)."""
        won = _sigmoid(thetas @ self.rows.T)
        curve, (pairs, features) = self.weights * won * (1 - won), self.rows.shape
        if pairs >= features:
            bent = (curve[:, None, :] * self.rows.T) @ self.rows + self.ridge * np.eye(features)
            return -np.linalg.solve(bent, slope[:, :, None])[:, :, 0]
        bent = curve[:, :, None] * self._gram + self.ridge * np.eye(pairs)
        seen = np.linalg.solve(bent, (curve * (slope @ self.rows.T))[:, :, None])[:, :, 0]
        return np.asarray((seen @ self.rows - slope) / self.ridge)

    @cached_property
    def _gram(self) -> Float[np.ndarray, "pair pair"]:
        return np.asarray(self.rows @ self.rows.T)

    def _damped(self, thetas: Thetas, step: Thetas, promised: Each) -> Thetas:
        """The step, halved for a member until it falls by a quarter of what the slope promises."""
        before = self.value(thetas)
        rounding = 1e-12 * (1 + np.abs(before))
        share = np.ones(len(step))
        for _ in range(60):
            after = self.value(thetas + share[:, None] * step)
            high = after > before + share * promised / 4 + rounding
            if not high.any():
                break
            share = np.where(high, share / 2, share)
        return np.asarray(share[:, None] * step)


def _sigmoid(x: Float[np.ndarray, "member pair"]) -> Float[np.ndarray, "member pair"]:
    return (1 + np.tanh(x / 2)) / 2
