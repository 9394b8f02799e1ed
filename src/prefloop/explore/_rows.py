"""Feature vectors as they arrive: finite, and of the dimension they always had."""

import numpy as np
from jaxtyping import Float, Float64

Rows = Float64[np.ndarray, "row feature"]


def checked(features: Float[np.ndarray, "row feature"], dimension: int | None) -> Rows:
    """The features in double precision; ValueError for NaN, or another dimension than before."""
    if dimension is not None and features.shape[1] != dimension:
        raise ValueError(
            f"features must have the {dimension} dimensions of those compared so far, got "
            f"{features.shape[1]}: after a model change what was learned means nothing; start a "
            "new run, or set explore.features back"
        )
    if not np.isfinite(features).all():
        bad = int(np.flatnonzero(~np.isfinite(features).all(1))[0])
        raise ValueError(
            f"features must be finite, got NaN or infinity in row {bad} of {len(features)}; leave "
            "that response out, or set other explore.features"
        )
    return features.astype(np.float64)


def positive(name: str, value: float) -> None:
    """ValueError unless the value is a positive number."""
    if not 0 < value < np.inf:
        raise ValueError(f"{name} must be positive and finite, got {value}; set it to 1")
