"""The regression of features onto coins: what it must do, and in closed form."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from jaxtyping import Float

from prefloop.novelty._precision import Precision
from prefloop.novelty._rows import Kinds
from prefloop.rng import stream


class Readout(Protocol):
    """A function of rows, regressed onto the coins of their visits."""

    def fit(self, kinds: Kinds, coins: Float[np.ndarray, "row coin"]) -> None:
        """Take in these visits."""
        ...

    def outputs(self, rows: Float[np.ndarray, "row d"]) -> Float[np.ndarray, "row coin"]:
        """The regression's value at each row; changes nothing."""
        ...

    def state_dict(self) -> dict[str, np.ndarray]:
        """All that was taken in; empty before the first fit."""
        ...

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Put it back; an empty mapping forgets everything."""
        ...


class RidgeReadout:
    """θ minimises Σ‖c − θᵀφ‖² + ridge·‖θ − θ⁰‖² with a frozen prior θ⁰ ~ N(0, 1/ridge).

        θ = A⁻¹(Σ φcᵀ + ridge·θ⁰),   A = ridge·I + Σ φφᵀ

    For a coin of its own on every visit, E[(θᵀq)²] is qᵀA⁻¹(Σ φφᵀ)A⁻¹q from the coins and
    ridge·qᵀA⁻²q from the prior: together qᵀA⁻¹q, the elliptical score². The prior is what makes
    the unseen read 1/√ridge; without it they read 0, as if seen infinitely often.
    """

    def __init__(self, *, ridge: float, coins: int, seed: int) -> None:
        self.ridge, self.coins, self.seed = ridge, coins, seed
        self._precision: Precision | None = None
        self._sums = np.zeros((0, coins))
        self._theta: Float[np.ndarray, "d coin"] | None = None

    def fit(self, kinds: Kinds, coins: Float[np.ndarray, "row coin"]) -> None:
        """Take in these visits."""
        if self._precision is None:
            self._precision = Precision(kinds.rows.shape[1], self.ridge)
            self._sums = self._prior(kinds.rows.shape[1]) * self.ridge
        self._precision.add(kinds.rows * np.sqrt(kinds.counts)[:, None])
        self._sums = self._sums + kinds.rows.T @ kinds.sums(coins)
        self._theta = self._precision.inverse @ self._sums

    def outputs(self, rows: Float[np.ndarray, "row d"]) -> Float[np.ndarray, "row coin"]:
        """θᵀφ of each row."""
        theta = self._prior(rows.shape[1]) if self._theta is None else self._theta
        found: np.ndarray = rows @ theta
        return found

    def state_dict(self) -> dict[str, np.ndarray]:
        """Σ, A⁻¹ and Σ φcᵀ; empty before the first fit."""
        if self._precision is None:
            return {}
        return {**self._precision.state_dict(), "sums": self._sums}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Put it back; an empty mapping forgets everything."""
        self._precision = Precision.restored(state, self.ridge) if state else None
        self._sums = state["sums"].copy() if state else np.zeros((0, self.coins))
        self._theta = self._precision.inverse @ self._sums if self._precision else None

    def _prior(self, width: int) -> Float[np.ndarray, "d coin"]:
        draw = stream(self.seed, "coin_flip", "prior", width)
        prior: np.ndarray = draw.normal(size=(width, self.coins)) / np.sqrt(self.ridge)
        return prior
