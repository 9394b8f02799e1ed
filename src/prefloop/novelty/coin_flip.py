"""Pseudo-counts by coin flips."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from jaxtyping import Float

from prefloop.novelty import _lift
from prefloop.novelty._coins import tossed
from prefloop.novelty._readout import Readout, RidgeReadout
from prefloop.novelty._rows import Kinds, checked, positive


@dataclass(kw_only=True, eq=False)
class CoinFlip:
    """Every visit tosses ±1 coins; the size of their regression on features says how many came.

        score = √(mean over coins of f(φ)²),   f = argmin Σ ‖c − f(φ)‖² + prior

    Lobel et al. 2023 (arXiv:2306.03186): the mean of N coins has mean square 1/N. Coins belong to
    their visit for good and differ between processes; a random prior makes the unseen read
    1/√ridge. `ridge` solves a linear f, and E[score²] is then `elliptical`'s φᵀA⁻¹φ exactly;
    `network` trains a two-layer one. A single reading is off by about 1/√(2·coins): 6 % for 128,
    16 % for the paper's 20.
    """

    coins: int = 128
    ridge: float = 0.1
    """counted in advance; small against 1, the least that a visit adds"""
    lift: int = 0
    """random Fourier features to count in; 0 counts in the features themselves"""
    readout: Literal["ridge", "network"] = "ridge"
    seed: int = 0
    """of the coins, the prior, the lift and the network"""
    rank: int = 0
    """of this process: processes toss different coins"""
    _visits: int = field(default=0, init=False, repr=False)
    _width: int | None = field(default=None, init=False, repr=False)
    _readout: Readout = field(init=False, repr=False)

    def __post_init__(self) -> None:
        positive(ridge=self.ridge, coins=self.coins)
        _lift.check(self.lift)
        if self.readout == "ridge":
            self._readout = RidgeReadout(ridge=self.ridge, coins=self.coins, seed=self.seed)
            return
        from prefloop.novelty._network import NetworkReadout

        self._readout = NetworkReadout(ridge=self.ridge, coins=self.coins, seed=self.seed)

    def fit(self, features: Float[np.ndarray, "response feature"]) -> None:
        """Toss the coins of these visits, and fit all coins so far."""
        rows = checked(features, self._width)
        if not len(rows):
            return
        self._width = rows.shape[1]
        coins = tossed(self.seed, self.rank, self._visits, len(rows), self.coins)
        self._visits += len(rows)
        kinds = Kinds.of(rows)
        self._readout.fit(replace(kinds, rows=self._lifted(kinds.rows)), coins)

    def score(
        self, features: Float[np.ndarray, "response feature"]
    ) -> Float[np.ndarray, " response"]:
        """√(mean f²) of each row; changes nothing."""
        rows = self._lifted(checked(features, self._width))
        values = self._readout.outputs(rows)
        score: np.ndarray = np.linalg.norm(values, axis=1) / np.sqrt(self.coins)
        return score

    def state_dict(self) -> dict[str, np.ndarray]:
        """What the readout took in, and how many visits; empty before the first fit."""
        if self._width is None:
            return {}
        numbers = {"width": np.array(self._width), "visits": np.array(self._visits)}
        return {**self._readout.state_dict(), **numbers}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Put it back; an empty mapping forgets everything."""
        self._width = int(state["width"]) if state else None
        self._visits = int(state["visits"]) if state else 0
        self._readout.load_state_dict(state)

    def _lifted(self, rows: Float[np.ndarray, "row d"]) -> Float[np.ndarray, "row lifted"]:
        return _lift.lifted(rows, self.lift, self.seed)
