"""What every novelty part checks at its border, and what it makes of rows that repeat."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


def checked(features: Float[np.ndarray, "*any"], width: int | None) -> Float[np.ndarray, "row d"]:
    """The features in double precision; ValueError unless they are finite rows of that width."""
    rows = np.ascontiguousarray(features, dtype=np.float64)
    if rows.ndim != 2:
        raise ValueError(f"features must be [response, feature], got shape {rows.shape}")
    if width is not None and rows.shape[1] != width:
        raise ValueError(
            f"features must keep their dimension of {width}, got {rows.shape[1]}; counts of one "
            "space mean nothing in another: begin again with load_state_dict({}), or keep the model"
        )
    is_finite = np.isfinite(rows).all(1)
    if not is_finite.all():
        bad = int(is_finite.argmin())
        raise ValueError(
            f"features must be finite, got {rows[bad][~np.isfinite(rows[bad])][0]} in row {bad}; "
            "the model that made them has diverged, or its precision is too low"
        )
    return rows


def positive(**options: int | float) -> None:
    """ValueError unless every option is above zero."""
    for name, value in options.items():
        if not value > 0:
            raise ValueError(f"{name} must be positive, got {value}")


@dataclass(frozen=True, kw_only=True)
class Kinds:
    """Rows of which each different one is kept once."""

    rows: Float[np.ndarray, "kind d"]
    place: Int[np.ndarray, " row"]
    """which of them every row was"""
    counts: Float[np.ndarray, " kind"]
    """how often each came"""

    @classmethod
    def of(cls, rows: Float[np.ndarray, "row d"]) -> "Kinds":
        """What is different among the rows, in order of arrival."""
        found: dict[bytes, int] = {}
        place = np.array([found.setdefault(row.tobytes(), len(found)) for row in rows], np.int64)
        first = np.unique(place, return_index=True)[1]
        return cls(rows=rows[first], place=place, counts=np.bincount(place).astype(np.float64))

    def sums(self, values: Float[np.ndarray, "row value"]) -> Float[np.ndarray, "kind value"]:
        """For each kind, the sum of its rows' values."""
        found = np.zeros((len(self.rows), values.shape[1]))
        np.add.at(found, self.place, values)
        return found
