"""Features made comparable: centred, whitened, of length one."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from prefloop.novelty._rows import checked


@dataclass(kw_only=True, eq=False)
class Whitener:
    """Rows x ↦ u/‖u‖, u = S⁻¹ᐟ²(x − μ), with μ and S of a sample that is seen once.

        S = (1 − shrinkage)·Cov + shrinkage·(tr Cov / d)·I

    Hidden states share one large direction, and a count that reads it takes everything for the same
    (a head trained for one pass reads 0.023 for 1 and for 256 visits). Whitened rows of different
    texts are near-orthogonal, with cosines of about ±1/√d. Shrinkage keeps directions that the
    sample hardly had from being blown up: at most by 1/√shrinkage.
    """

    shrinkage: float = 0.1
    _mean: Float[np.ndarray, " d"] | None = field(default=None, init=False, repr=False)
    _map: Float[np.ndarray, "d d"] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 < self.shrinkage <= 1:
            raise ValueError(f"shrinkage must lie in (0, 1], got {self.shrinkage}")

    @property
    def is_fitted(self) -> bool:
        """Has it seen its sample?"""
        return self._mean is not None

    def fit(self, features: Float[np.ndarray, "response d"]) -> None:
        """Take μ and S from this sample, for good: rows of two maps cannot be counted together."""
        if self.is_fitted:
            raise ValueError(
                "a whitener is fitted once, since what was counted is in its space; for another "
                "space use a new one and forget the counts"
            )
        sample = checked(features, None)
        spread, axes = _axes(sample)
        shrunk = (1 - self.shrinkage) * spread + self.shrinkage * spread.mean()
        self._mean, self._map = sample.mean(0), axes / np.sqrt(shrunk)

    def rows(self, features: Float[np.ndarray, "response d"]) -> Float[np.ndarray, "response d"]:
        """The features as unit rows; one that lies exactly at μ is given the first axis."""
        if self._mean is None or self._map is None:
            raise ValueError("the whitener has seen no sample yet; call fit first")
        white = (checked(features, len(self._mean)) - self._mean) @ self._map
        length = np.linalg.norm(white, axis=1, keepdims=True)
        first = np.eye(1, white.shape[1])
        return np.where(length > 0, white / np.where(length > 0, length, 1), first)

    def state_dict(self) -> dict[str, np.ndarray]:
        """μ and the map, empty before the fit."""
        if self._mean is None or self._map is None:
            return {}
        return {"mean": self._mean.copy(), "map": self._map.copy()}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Put it back; an empty mapping makes it ready for another sample."""
        self._mean = state["mean"].copy() if state else None
        self._map = state["map"].copy() if state else None


def _axes(
    sample: Float[np.ndarray, "response d"],
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "d d"]]:
    """Variances along the principal axes, and the axes as columns."""
    if len(sample) < 2:
        raise ValueError(f"whitening needs at least 2 responses, got {len(sample)}; draw more")
    spread, axes = np.linalg.eigh(np.cov(sample, rowvar=False).reshape(2 * sample.shape[1:]))
    if not spread[-1] > 0:
        raise ValueError(
            f"whitening needs features that vary, got {len(sample)} equal ones; give it different "
            "responses"
        )
    return np.maximum(spread, 0), axes
