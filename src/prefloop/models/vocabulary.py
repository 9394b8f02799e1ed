"""A language model's vocabulary head, to be put on another trunk's states."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from prefloop.config import ConfigError
from prefloop.models.logps import token_logps
from prefloop.models.probe import head_reason


@dataclass(frozen=True)
class Vocabulary:
    """The head as it stood, frozen; a copy where the language model goes on training it."""

    weight: Float[Tensor, "vocab width"]
    bias: Float[Tensor, " vocab"] | None

    @classmethod
    def of(cls, model: Any) -> "Vocabulary":
        """ConfigError where the model's logits are not a linear map of its states."""
        if reason := head_reason(model):
            raise ConfigError(
                f"reward.language reads states by the policy's vocabulary head, but {reason}; set "
                "reward.language to 0"
            )
        head = model.get_output_embeddings()
        return cls(_still(head.weight), None if head.bias is None else _still(head.bias))

    @property
    def width(self) -> int:
        """Of the states that it reads."""
        return self.weight.shape[1]

    def logps(
        self, states: Float[Tensor, "token width"], tokens: Int[Tensor, " token"]
    ) -> Float[Tensor, " token"]:
        """log π of the tokens that the states predict."""
        return token_logps(states, self.weight, self.bias, tokens)


def _still(weight: Tensor) -> Tensor:
    return weight.detach().clone() if weight.requires_grad else weight
