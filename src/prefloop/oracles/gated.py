"""A mixture of attributes as a scorer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from prefloop.oracles import _attributes
from prefloop.oracles._border import finite
from prefloop.oracles._errors import OracleError
from prefloop.types import Missing, Response


@dataclass(frozen=True, kw_only=True)
class Gated:
    """Several attributes weighed by what the prompt asks for: R = Σ_k g_k(x) (r_k − λ_k r_verb).

    What `prefloop reward gate` writes (Wang et al. 2024, ArmoRM, arXiv:2406.12845): frozen linear
    heads, and a small network that says how much each of them counts for this prompt. The weights
    are non-negative and sum to one; `models.gate.Mixture` has the whole formula.
    """

    path: str
    """a folder with the heads, gate.json and gate.safetensors"""
    max_tokens: int | None = None
    """of heads on a language model: longest prompt + response; default: the model's context"""
    overflow: Literal["missing", "keep_end"] = "missing"
    """a longer row: no score, or the score with the end of its prompt only"""
    device: str = "auto"
    _heads: Any = field(init=False, repr=False, compare=False)
    _mixture: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        from prefloop import frozen
        from prefloop.models.gate import Mixture

        folder, device = Path(self.path), frozen.device(self.device)
        try:
            mixture = Mixture.load(folder)
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise OracleError(
                f"{folder} holds no gate that can be read ({error}); write one with "
                "prefloop reward gate"
            ) from None
        heads = _attributes.read(
            folder, max_tokens=self.max_tokens, overflow=self.overflow, device=device
        )
        _check(folder, heads.shape, mixture.shape)
        object.__setattr__(self, "_heads", heads)
        object.__setattr__(self, "_mixture", mixture.to(device))

    def score(self, responses: Sequence[Response]) -> list[float | Missing]:
        if not responses:
            return []
        import torch

        attributes = self._heads.attributes(responses)
        known = ~np.isnan(attributes).any(1)
        kept = [r for r, is_known in zip(responses, known, strict=True) if is_known]
        found = np.full(len(responses), np.nan)
        if kept:
            with torch.no_grad():
                found[known] = self._weighed(attributes[known], kept).cpu().double().numpy()
        missing = Missing("it does not fit the backbone's context")
        pairs = zip(found.tolist(), known, strict=True)
        return [finite(value) if is_known else missing for value, is_known in pairs]

    def _weighed(self, attributes: np.ndarray, responses: Sequence[Response]) -> Any:
        prompts = {r.prompt.id: r.prompt for r in responses}
        known = self._heads.of_prompts([*prompts.values()])
        place = {name: i for i, name in enumerate(prompts)}
        which = [place[r.prompt.id] for r in responses]
        mixture, like = self._mixture, self._mixture.level
        weights = mixture.gate(like.new_tensor(known))[which]
        return mixture(mixture.debiased(like.new_tensor(attributes)), weights)


def _check(folder: Path, heads: tuple[int, int], gate: dict[str, int]) -> None:
    """OracleError unless the gate is of these heads."""
    if heads != (gate["attributes"], gate["width"]):
        raise OracleError(
            f"the gate in {folder} weighs {gate['attributes']} attributes by {gate['width']} "
            f"numbers a prompt, and the heads beside it are {heads[0]} on {heads[1]}: they belong "
            "to different folders; run prefloop reward gate again"
        )
