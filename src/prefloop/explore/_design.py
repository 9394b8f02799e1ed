"""Which differences have been compared: the covariance whose inverse is what is left open."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from prefloop.explore._rows import Rows, checked, positive

BLOCK = 64


@dataclass(kw_only=True)
class Design:
    """Σ = ridge · I + Σ δδᵀ over the differences δ = φ(a) − φ(b) compared so far.

    ‖φ(a) − φ(b)‖ in Σ⁻¹ is how far the labels leave r(a) − r(b) open, up to a constant (Xiong et
    al. 2023, arXiv:2312.11456). Only differences are identified, hence no width without a centre.
    Σ itself is kept and factored again when it changed, so that nothing drifts; adding a
    comparison costs O(d²).
    """

    ridge: float = 1.0
    _covariance: Float[np.ndarray, "feature feature"] | None = field(default=None, init=False)
    _factor: Float[np.ndarray, "feature feature"] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        positive("ridge", self.ridge)

    def add(self, differences: Float[np.ndarray, "pair feature"]) -> None:
        """Count these comparisons as made."""
        rows = checked(differences, self._dimension)
        if self._covariance is None:
            self._covariance = self.ridge * np.eye(rows.shape[1])
        self._covariance = self._covariance + rows.T @ rows
        self._factor = None

    def scaled(self, features: Float[np.ndarray, "row feature"]) -> Rows:
        """φ L⁻ᵀ with Σ = LLᵀ: the distance of two rows is the width of their difference."""
        rows = checked(features, self._dimension)
        if self._covariance is None:
            return np.asarray(rows / np.sqrt(self.ridge))
        if self._factor is None:
            self._factor = np.linalg.cholesky(self._covariance)
        return _forward(self._factor, rows.T).T

    def width(
        self, features: Float[np.ndarray, "row feature"], centre: Float[np.ndarray, " feature"]
    ) -> Float[np.ndarray, " row"]:
        """‖φ − ν‖ in Σ⁻¹ of each row, ν being the centre, such as the mean of π₀'s features."""
        return np.asarray(np.sqrt((self.scaled(features - centre) ** 2).sum(1)))

    def state_dict(self) -> dict[str, np.ndarray]:
        """Σ, once there is one."""
        return {} if self._covariance is None else {"covariance": self._covariance}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Put it back; an empty mapping forgets everything."""
        self._covariance, self._factor = state.get("covariance"), None

    @property
    def _dimension(self) -> int | None:
        return None if self._covariance is None else len(self._covariance)


def _forward(
    lower: Float[np.ndarray, "feature feature"], right: Float[np.ndarray, "feature column"]
) -> Float[np.ndarray, "feature column"]:
    """L⁻¹ · right for a triangular L, a block of rows at a time: O(d²) a column."""
    found = np.empty_like(right)
    for start in range(0, len(lower), BLOCK):
        rows = slice(start, start + BLOCK)
        left = right[rows] - lower[rows, :start] @ found[:start]
        found[rows] = np.linalg.solve(lower[rows, rows], left)
    return found
