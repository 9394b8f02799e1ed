"""The plain way, for models that cannot take trees: one right-padded row a response, full logits.

Padding stands on the right, where a causal model (attention, state space or both) never looks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from prefloop.models.logps import logits_logps, summed
from prefloop.models.tree import Tree, device_of


@dataclass(frozen=True)
class Rows:
    """Every response beside its own copy of the prompt; indices are of the flattened rows."""

    tokens: Int[Tensor, "response width"]
    is_token: Int[Tensor, "response width"]
    predictors: Int[Tensor, " target"]
    """index of the token whose hidden state predicts the target"""
    targets: Int[Tensor, " target"]
    owners: Int[Tensor, " target"]
    """the response a target belongs to"""
    ends: Int[Tensor, " response"]
    """index of each response's last token"""


def rows(trees: Sequence[Tree], device: torch.device) -> Rows:
    """The micro-batch of trees as padded rows, response after response in tree order."""
    pairs = [(tree.prompt, tokens) for tree in trees for tokens in tree.responses]
    width = max(len(prompt) + len(tokens) for prompt, tokens in pairs)
    ids = torch.zeros(len(pairs), width, dtype=torch.long)
    is_token = torch.zeros_like(ids)
    predicts = torch.zeros(len(pairs), width, dtype=torch.bool)
    for row, (prompt, tokens) in enumerate(pairs):
        ids[row, : len(prompt) + len(tokens)] = torch.tensor([*prompt, *tokens])
        is_token[row, : len(prompt) + len(tokens)] = 1
        predicts[row, len(prompt) - 1 : len(prompt) + len(tokens) - 1] = True
    predictors = predicts.flatten().nonzero()[:, 0]
    return Rows(
        tokens=ids.to(device),
        is_token=is_token.to(device),
        predictors=predictors.to(device),
        targets=ids.flatten()[predictors + 1].to(device),
        owners=(predictors // width).to(device),
        ends=(torch.arange(len(pairs)) * width + is_token.sum(1) - 1).to(device),
    )


def padded_logps(model: Any, trees: Sequence[Tree]) -> Float[Tensor, " response"]:
    """log π of every response in tree order."""
    where = rows(trees, device_of(model))
    return summed(row_token_logps(model, where, 1.0), where.owners, len(where.ends))


def padded_token_logps(
    model: Any, trees: Sequence[Tree], temperature: float
) -> Float[Tensor, " token"]:
    """log π of every token of every response in tree order."""
    return row_token_logps(model, rows(trees, device_of(model)), temperature)


def padded_states(trunk: nn.Module, where: Rows) -> Float[Tensor, "slot width"]:
    """Hidden states of the flattened rows, behind the final norm."""
    found: Tensor = trunk(
        input_ids=where.tokens, attention_mask=where.is_token, use_cache=False
    ).last_hidden_state
    return found.flatten(0, 1)


def row_token_logps(model: Any, where: Rows, temperature: float) -> Float[Tensor, " token"]:
    """log π of every target, by the model's own logits."""
    logits = model(input_ids=where.tokens, attention_mask=where.is_token, use_cache=False).logits
    return logits_logps(logits.flatten(0, 1)[where.predictors], where.targets, temperature)
