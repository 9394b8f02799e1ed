"""What a frozen reward model's heads say, an attribute each, and what it makes of a prompt."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from prefloop.oracles._errors import OracleError
from prefloop.oracles.feature_head import FeatureHead
from prefloop.types import Prompt, Response


@runtime_checkable
class Attributes(Protocol):
    """Heads on a trunk that nobody trains any more."""

    @property
    def shape(self) -> tuple[int, int]:
        """How many heads, on how many numbers."""
        ...

    def attributes(self, responses: Sequence[Response]) -> Float[np.ndarray, "response head"]:
        """A row a response; NaN where it does not fit the backbone."""
        ...

    def of_prompts(self, prompts: Sequence[Prompt]) -> Float[np.ndarray, "prompt width"]:
        """What is known before a response begins."""
        ...


@dataclass(frozen=True)
class Classifier:
    """The heads of a sequence classifier, read as it was trained."""

    model: Any
    """a `models.reward.RewardModel` that reads texts"""

    @property
    def shape(self) -> tuple[int, int]:
        """How many heads, on how many numbers."""
        return self.model.head.out_features, self.model.head.in_features

    def attributes(self, responses: Sequence[Response]) -> Float[np.ndarray, "response head"]:
        import torch

        fits = np.array([self.model.reader(r) is not None for r in responses], bool)
        kept = [r for r, fit in zip(responses, fits, strict=True) if fit]
        found = np.full((len(responses), self.model.head.out_features), np.nan)
        with torch.no_grad():
            found[fits] = self.model.scores(kept).cpu().double().numpy()
        return found

    def of_prompts(self, prompts: Sequence[Prompt]) -> Float[np.ndarray, "prompt width"]:
        """The state at the prompt's last token: the one before an empty response's end."""
        import torch

        empty = [Response(prompt=prompt, text="") for prompt in prompts]
        with torch.no_grad():
            found = self.model.predictors(empty)
        return np.asarray(found.cpu().double().numpy())


def read(
    folder: Path,
    *,
    max_tokens: int | None = None,
    overflow: Literal["missing", "keep_end"] = "missing",
    device: str = "auto",
) -> Attributes:
    """The heads in a folder; OracleError where there is no such thing."""
    if (folder / "head.json").exists():
        if max_tokens is not None or overflow != "missing":
            raise ValueError(
                f"{folder} has heads on features, which read texts of any length; leave max_tokens "
                "and overflow out"
            )
        return FeatureHead(path=str(folder))
    from prefloop.config import ConfigError, Model
    from prefloop.models.reward import RewardModel
    from prefloop.models.tokens import Reader
    from prefloop.store.text import Encoder

    settings = Model(path=str(folder), device=device, max_tokens=max_tokens)
    try:
        model = RewardModel.load(str(folder), settings=settings)
    except ConfigError as error:
        raise OracleError(f"{folder} has no heads to weigh: {error}") from None
    cut: Literal["drop", "keep_end"] = "keep_end" if overflow == "keep_end" else "drop"
    encoder = Encoder(model.loaded.tokenizer, context=model.loaded.context, overflow=cut)
    model.reader = Reader(encoder)
    return Classifier(model)
