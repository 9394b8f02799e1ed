"""A linear reward on the features of a frozen model."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from json import loads
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from prefloop.oracles._border import finite
from prefloop.oracles._errors import OracleError
from prefloop.types import Missing, Prompt, Response


@dataclass(frozen=True, kw_only=True)
class FeatureHead:
    """Linear heads on features: r(x, y) = wᵀφ(x, y) − shift, fitted to preferences or ratings.

    What `prefloop reward train --backbone minilm` writes: the few numbers that few labels can
    teach, on a frozen encoder (a linear probe of arXiv:1610.01644). The encoder itself is named,
    not kept. Of several heads, an attribute each, the score is the mean; `gated` weighs them.
    """

    path: str
    """a folder with head.json and head.safetensors"""
    _features: Any = field(init=False, repr=False, compare=False)
    _weight: np.ndarray = field(init=False, repr=False, compare=False)
    _shift: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        from prefloop import plugins

        said, weight = _read(Path(self.path))
        part = plugins.build("features", said["features"]["name"], said["features"]["options"])
        object.__setattr__(self, "_features", part)
        object.__setattr__(self, "_weight", weight)
        object.__setattr__(self, "_shift", float(said["shift"]))

    @property
    def shape(self) -> tuple[int, int]:
        """How many heads, on how many features."""
        heads, width = self._weight.shape
        return heads, width

    def score(self, responses: Sequence[Response]) -> list[float | Missing]:
        if not responses:
            return []
        found = self.attributes(responses).mean(1) - self._shift
        return [finite(value) for value in found.tolist()]

    def attributes(self, responses: Sequence[Response]) -> Float[np.ndarray, "response head"]:
        """What every head says, in the units of what it learned from."""
        found = np.asarray(self._features.features(responses), np.float64)
        if found.shape[1] != self._weight.shape[1]:
            raise OracleError(
                f"{self.path} weighs {self._weight.shape[1]} features and its encoder gives "
                f"{found.shape[1]}: it was trained on another one"
            )
        return np.asarray(found @ self._weight.T)

    def of_prompts(self, prompts: Sequence[Prompt]) -> Float[np.ndarray, "prompt feature"]:
        """The features of an empty response: of nothing but the prompt's text."""
        empty = [Response(prompt=prompt, text="") for prompt in prompts]
        return np.asarray(self._features.features(empty), np.float64)


def _read(folder: Path) -> tuple[dict[str, Any], Float[np.ndarray, "head feature"]]:
    from safetensors.numpy import load_file

    try:
        said = loads((folder / "head.json").read_text(encoding="utf-8"))
        weight = load_file(folder / "head.safetensors")["weight"]
    except (OSError, KeyError, ValueError) as error:
        raise OracleError(
            f"{folder} holds no head on features ({error}); write one with "
            "prefloop reward train --backbone minilm"
        ) from None
    return said, np.atleast_2d(np.asarray(weight, np.float64))
