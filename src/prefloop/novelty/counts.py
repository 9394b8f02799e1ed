"""Exact counts."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from prefloop.novelty._rows import checked, positive


@dataclass(kw_only=True, eq=False)
class Counts:
    """How often exactly this response was collected before: 1/√(N + ridge).

    The count of COPO's theory (arXiv:2501.12735) where responses are few enough to come again, and
    the truth that the others are measured against; two texts that differ in a word share nothing.
    Rows are the same if they agree to `decimals`, since padding moves the last digits of a feature.
    """

    ridge: float = 0.1
    """counted in advance; small against 1, the least that a visit adds"""
    decimals: int = 3
    _seen: Counter[bytes] = field(default_factory=Counter, init=False, repr=False)
    _width: int | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        positive(ridge=self.ridge)

    def fit(self, features: Float[np.ndarray, "response feature"]) -> None:
        """Count these occurrences as well."""
        rows = checked(features, self._width)
        if not len(rows):
            return
        self._width = rows.shape[1]
        self._seen.update(self._keys(rows))

    def score(
        self, features: Float[np.ndarray, "response feature"]
    ) -> Float[np.ndarray, " response"]:
        """1/√(N + ridge) of each row; changes nothing."""
        rows = checked(features, self._width)
        found = np.array([self._seen[key] for key in self._keys(rows)], dtype=np.float64)
        return 1 / np.sqrt(found + self.ridge)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Every distinct row and its count; empty before the first fit."""
        if self._width is None:
            return {}
        rows = np.frombuffer(b"".join(self._seen), dtype=np.float64).reshape(-1, self._width)
        return {"rows": rows.copy(), "counts": np.array([*self._seen.values()], dtype=np.int64)}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Put it back; an empty mapping forgets everything."""
        self._seen, self._width = Counter(), None
        if state:
            self._width = state["rows"].shape[1]
            known = zip(self._keys(state["rows"]), state["counts"].tolist(), strict=True)
            self._seen.update(dict(known))

    def _keys(self, rows: Float[np.ndarray, "row d"]) -> list[bytes]:
        return [row.tobytes() for row in rows.round(self.decimals) + 0.0]  # −0.0 is 0.0
