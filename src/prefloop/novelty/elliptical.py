"""Pseudo-counts from the ridge covariance of features."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from prefloop.novelty import _lift
from prefloop.novelty._precision import Precision
from prefloop.novelty._rows import Kinds, checked, positive


@dataclass(kw_only=True, eq=False)
class Elliptical:
    """The width of a confidence ellipsoid in the direction of a response's features.

        score = √(φᵀA⁻¹φ),   A = ridge·I + Σ φφᵀ over all that was collected

    The bonus of linear bandits (Abbasi-Yadkori et al. 2011; COPO, arXiv:2501.12735, §4). On one-hot
    features it is 1/√(N + ridge) exactly, and 1/√ridge for what is orthogonal to everything seen.
    It keeps about d/2 separate counts; beyond that, features overlap and all read "known": then
    `lift` to some thousand dimensions.
    """

    ridge: float = 0.1
    """counted in advance; small against 1, the least that a visit adds"""
    lift: int = 0
    """random Fourier features to count in; 0 counts in the features themselves"""
    seed: int = 0
    """of the lift"""
    _width: int | None = field(default=None, init=False, repr=False)
    _precision: Precision | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        positive(ridge=self.ridge)
        _lift.check(self.lift)

    def fit(self, features: Float[np.ndarray, "response feature"]) -> None:
        """Count these occurrences as well: O(d²) each, rows that repeat once."""
        rows = checked(features, self._width)
        if not len(rows):
            return
        kinds = Kinds.of(rows)
        found = _lift.lifted(kinds.rows, self.lift, self.seed)
        if self._precision is None:
            self._width, self._precision = rows.shape[1], Precision(found.shape[1], self.ridge)
        self._precision.add(found * np.sqrt(kinds.counts)[:, None])

    def score(
        self, features: Float[np.ndarray, "response feature"]
    ) -> Float[np.ndarray, " response"]:
        """√(φᵀA⁻¹φ) of each row; changes nothing."""
        rows = _lift.lifted(checked(features, self._width), self.lift, self.seed)
        if self._precision is None:
            unseen: np.ndarray = np.linalg.norm(rows, axis=1) / np.sqrt(self.ridge)
            return unseen
        return self._precision.norm(rows)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Σ and A⁻¹, as triangles; empty before the first fit."""
        if self._precision is None or self._width is None:
            return {}
        return {**self._precision.state_dict(), "width": np.array(self._width)}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Put it back; an empty mapping forgets everything."""
        self._width = int(state["width"]) if state else None
        self._precision = Precision.restored(state, self.ridge) if state else None
