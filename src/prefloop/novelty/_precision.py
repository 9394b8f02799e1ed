"""The inverse of a growing covariance, at O(d²) a row and without drift."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

BLOCK = 256
"""rows that one Woodbury step takes in"""
REFRESH = 1024
"""rows, at least, between two inversions of Σ itself"""


class Precision:
    """A⁻¹ of A = ridge·I + Σ φφᵀ.

    A block Φ of k rows changes it by Woodbury's identity, A⁻¹ − Wᵀ(I + ΦWᵀ)⁻¹W with W = ΦA⁻¹, in
    4·d² operations a row. Rounding would pile up in that; so Σ is kept beside it, where nothing is
    ever subtracted, and after every d rows (1,024 at least) A is inverted afresh, which is
    O(d²) a row too.
    """

    def __init__(self, width: int, ridge: float) -> None:
        self.ridge = ridge
        self.gram = np.zeros((width, width))
        self.inverse = np.eye(width) / ridge
        self._stale = 0

    def add(self, rows: Float[np.ndarray, "row d"]) -> None:
        """Take these rows into A."""
        self.gram += rows.T @ rows
        self._stale += len(rows)
        if self._stale > max(REFRESH, len(self.gram)):
            self._refresh()
            return
        for start in range(0, len(rows), BLOCK):
            self._update(rows[start : start + BLOCK])

    def norm(self, rows: Float[np.ndarray, "row d"]) -> Float[np.ndarray, " row"]:
        """√(φᵀA⁻¹φ) of each row."""
        norm: np.ndarray = np.sqrt(np.einsum("ij,ij->i", rows @ self.inverse, rows))
        return norm

    def state_dict(self) -> dict[str, np.ndarray]:
        """Both triangles once, so that what goes on from here goes on bit for bit."""
        upper = _upper(len(self.gram))
        return {
            "gram": self.gram[upper],
            "inverse": self.inverse[upper],
            "stale": np.array(self._stale),
        }

    @classmethod
    def restored(cls, state: Mapping[str, np.ndarray], ridge: float) -> "Precision":
        """What `state_dict` was taken from."""
        width = int(np.sqrt(2 * len(state["gram"])))
        found = cls(width, ridge)
        found.gram, found.inverse = _square(state["gram"], width), _square(state["inverse"], width)
        found._stale = int(state["stale"])
        return found

    def _update(self, rows: Float[np.ndarray, "row d"]) -> None:
        half = rows @ self.inverse
        inner = half @ rows.T
        inner[np.diag_indices(len(inner))] += 1
        step = np.linalg.solve(np.linalg.cholesky(inner), half)
        self.inverse -= step.T @ step

    def _refresh(self) -> None:
        whole = self.gram.copy()
        whole[np.diag_indices(len(whole))] += self.ridge
        found = np.linalg.inv(whole)
        self.inverse = (found + found.T) / 2
        self._stale = 0


def _upper(width: int) -> np.ndarray:
    return np.triu(np.ones((width, width), dtype=bool))


def _square(triangle: Float[np.ndarray, " entry"], width: int) -> Float[np.ndarray, "d d"]:
    found = np.zeros((width, width))
    found[_upper(width)] = triangle
    return found + np.triu(found, 1).T
