"""A Bradley–Terry head on frozen features: logistic regression on their differences."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from prefloop import plugins
from prefloop.config import ConfigError
from prefloop.measure.calibration import nll
from prefloop.rewarding.rows import comparisons
from prefloop.rng import key
from prefloop.types import Preference, Response

RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""prior precisions a pair, in units of the features' own spread"""
FOLDS = 4


def train(
    preferences: Sequence[Preference], features: str, folder: Path, seed: int
) -> dict[str, Any]:
    """Fit, and write head.json and head.safetensors; what was chosen is returned.

    The ridge is chosen by likelihood on a quarter of the prompts at a time, the prompts that
    measure the result left out of it all.
    """
    from safetensors.numpy import save_file

    part = plugins.build("features", features, {})
    responses = unique(preferences)
    found = dict(zip([r.id for r in responses], part.features(responses), strict=True))
    gaps = np.array([found[p.query.a.id] - found[p.query.b.id] for p in preferences], np.float64)
    labels = np.array([p.p for p in preferences])
    whose = folds([p.query.prompt.id for p in preferences], seed)
    if len(np.unique(whose)) < 2:
        raise ConfigError(
            f"{len(preferences)} pairs of one prompt do not say how a head does on others; give "
            "pairs of at least 2 prompts besides those held out"
        )
    tried = {ridge: _out_of_fold(gaps, labels, whose, ridge) for ridge in RIDGES}
    ridge = min(tried, key=lambda r: tried[r])
    weight = logistic(gaps, labels, ridge)
    scores = np.array([found[r.id] for r in responses], np.float64) @ weight
    said = {"features": {"name": features, "options": {}}, "shift": float(scores.mean())}
    (folder / "head.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    save_file({"weight": weight}, folder / "head.safetensors")
    return {"ridge": ridge, "nll_by_ridge": {str(r): value for r, value in tried.items()}}


def logistic(
    gaps: Float[np.ndarray, "pair feature"],
    p: Float[np.ndarray, " pair"],
    ridge: float,
) -> Float[np.ndarray, " feature"]:
    """The w that minimises Σ cross-entropy(p, σ(w·gap)) + ½ n · ridge · s² ‖w‖², by Newton.

    s² is the features' mean square, so that a ridge means the same in any space. No intercept:
    naming a pair the other way round must change nothing.
    """
    n, width = gaps.shape
    penalty = n * ridge * max(float((gaps**2).mean()), 1e-12)
    weight = np.zeros(width)
    for _ in range(50):
        q = (1 + np.tanh(gaps @ weight / 2)) / 2
        slope = gaps.T @ (q - p) + penalty * weight
        bend = (gaps * (q * (1 - q))[:, None]).T @ gaps + penalty * np.eye(width)
        step = np.linalg.solve(bend, slope)
        weight = weight - step * min(1.0, 10.0 / float(np.abs(gaps @ step).max() + 1e-300))
        if np.abs(step).max() < 1e-9 * (1 + np.abs(weight).max()):
            break
    return np.asarray(weight)


def unique(preferences: Sequence[Preference]) -> list[Response]:
    """The responses that are compared, each once."""
    both = [r for p in comparisons(preferences) for r in (p.query.a, p.query.b)]
    return list({r.id: r for r in both}.values())


def folds(prompts: Sequence[str], seed: int) -> Int[np.ndarray, " row"]:
    """A fold a row, a prompt's rows together, and as many prompts in each."""
    order = sorted(set(prompts), key=lambda prompt: key(seed, "fold", prompt))
    place = {prompt: number % FOLDS for number, prompt in enumerate(order)}
    return np.array([place[prompt] for prompt in prompts])


def _out_of_fold(
    gaps: Float[np.ndarray, "pair feature"],
    p: Float[np.ndarray, " pair"],
    folds: Any,
    ridge: float,
) -> float:
    margin = np.zeros(len(p))
    for fold in np.unique(folds):
        out = folds == fold
        if not out.all():
            margin[out] = gaps[out] @ logistic(gaps[~out], p[~out], ridge)
    return nll(margin, p)
