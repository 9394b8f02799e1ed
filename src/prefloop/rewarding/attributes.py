"""A linear head an attribute on frozen features: ridge regression onto ratings."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from prefloop import plugins
from prefloop.config import ConfigError
from prefloop.rewarding.heads import folds
from prefloop.rewarding.rows import Row
from prefloop.types import Rating

RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 1e2, 1e3, 1e4)


def train(
    rows: Sequence[Row], features: str, heads: int, folder: Path, seed: int
) -> dict[str, Any]:
    """Fit, and write head.json and head.safetensors, a row an attribute; what was chosen.

    The first stage of Wang et al. 2024, ArmoRM (arXiv:2406.12845). Ratings keep the file's scale;
    without an intercept, a text whose features are zero is rated zero.
    """
    from safetensors.numpy import save_file

    ratings = _checked(rows, heads)
    part = plugins.build("features", features, {})
    x = np.asarray(part.features([row.response for row in ratings]), np.float64)
    y = np.array([row.values for row in ratings])
    whose = folds([row.response.prompt.id for row in ratings], seed)
    found = [_attribute(x, y[:, k], whose, k) for k in range(heads)]
    weight = np.stack([w for w, _ in found])
    shift = float((x @ weight.T).mean())
    said = {"features": {"name": features, "options": {}}, "shift": shift}
    (folder / "head.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    save_file({"weight": weight}, folder / "head.safetensors")
    return {"attributes": [told for _, told in found]}


def ridge(
    x: Float[np.ndarray, "row feature"], y: Float[np.ndarray, " row"], penalty: float
) -> Float[np.ndarray, " feature"]:
    """The w that minimises Σ (w·x − y)² + penalty ‖w‖² over the rows with a rating: y not NaN."""
    known = ~np.isnan(y)
    x, y = x[known], y[known]
    return np.asarray(np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y))


def _attribute(
    x: Float[np.ndarray, "row feature"],
    y: Float[np.ndarray, " row"],
    whose: Int[np.ndarray, " row"],
    number: int,
) -> tuple[Float[np.ndarray, " feature"], dict[str, Any]]:
    """Its weights, under the ridge with the least squared error on prompts left out."""
    known = ~np.isnan(y)
    if len(np.unique(whose[known])) < 2:
        raise ConfigError(
            f"attribute {number} has {known.sum()} ratings, too few prompts to choose a ridge by; "
            "rate responses to more prompts, or leave the attribute out"
        )
    tried = {penalty: _out_of_fold(x[known], y[known], whose[known], penalty) for penalty in RIDGES}
    best = min(tried, key=lambda penalty: tried[penalty])
    spread = float(y[known].var())
    told = {
        "ratings": int(known.sum()),
        "ridge": best,
        "explained": 1 - tried[best] / spread if spread else None,
        "error_by_ridge": {str(penalty): error for penalty, error in tried.items()},
    }
    return ridge(x, y, best), told


def _out_of_fold(
    x: Float[np.ndarray, "row feature"],
    y: Float[np.ndarray, " row"],
    folds: Int[np.ndarray, " row"],
    penalty: float,
) -> float:
    error = np.zeros(len(y))
    for fold in np.unique(folds):
        out = folds == fold
        error[out] = y[out] - x[out] @ ridge(x[~out], y[~out], penalty)
    return float((error**2).mean())


def _checked(rows: Sequence[Row], heads: int) -> list[Rating]:
    found = []
    for row in rows:
        if not isinstance(row, Rating):
            raise ConfigError(
                f"the loss regression learns from a rating, and the data hold a "
                f"{type(row).__name__.lower()}; give a file with completion and values"
            )
        if len(row.values) != heads:
            raise ConfigError(
                f"a response has {len(row.values)} ratings for reward.heads={heads}; set "
                "reward.heads to the number of values in every row, null where there is none"
            )
        found.append(row)
    return found
