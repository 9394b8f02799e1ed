"""A critic on the policy's own states."""

from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from prefloop.models.heads import fresh_head, read
from prefloop.models.transformer import TransformerPolicy
from prefloop.models.tree import Tree
from prefloop.models.trunk import predicted
from prefloop.types import Response


class ValueHead:
    """A linear head, zero at first, on the states that the policy predicts its tokens from.

    As Ziegler et al. 2019 (arXiv:1909.08593) share policy and value function: V comes with log π
    from one forward pass, so that a critic costs neither a pass nor a trunk of its own, and what
    the critic learns moves the policy's trunk too, by the loss's value weight.
    """

    def __init__(self, policy: TransformerPolicy) -> None:
        width: int = policy.model.config.get_text_config().hidden_size
        head = fresh_head(width, 1, seed=0)
        nn.init.zeros_(head.weight)
        self.model: nn.Linear = head.to(policy.loaded.device)
        """what is trained besides the policy"""

    def beside(
        self, policy: TransformerPolicy, responses: Sequence[Response], temperature: float
    ) -> tuple[Float[Tensor, " token"], Float[Tensor, " token"]]:
        """`policy.token_logps` and V before each token is drawn, in one pass; flat."""
        both = policy.by_token(responses, partial(self._both, policy, temperature))
        logps, values = both.reshape(-1, 2).unbind(1)
        return logps, values

    def _both(
        self, policy: TransformerPolicy, temperature: float, trees: Sequence[Tree]
    ) -> Float[Tensor, "token 2"]:
        states, logps = predicted(policy.model, trees, temperature, packs=policy.packs)
        return torch.stack([logps, read(self.model, states)[:, 0]], dim=1)
