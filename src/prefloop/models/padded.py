"""The plain way, for models that cannot take trees: one right-padded row a response, full logits.

Padding stands on the right, where a causal model (attention, state space or both) never looks.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.models.logps import logits_logps
from prefloop.models.tree import Tree


def padded_logps(model: Any, trees: Sequence[Tree]) -> Float[Tensor, " response"]:
    """log π of every response in tree order, each computed beside its own copy of the prompt."""
    device = next(model.parameters()).device
    pairs = [(tree.prompt, tokens) for tree in trees for tokens in tree.responses]
    width = max(len(prompt) + len(tokens) for prompt, tokens in pairs)
    ids = torch.zeros(len(pairs), width, dtype=torch.long)
    is_token = torch.zeros_like(ids)
    predicts = torch.zeros(len(pairs), width - 1, dtype=torch.bool)
    for row, (prompt, tokens) in enumerate(pairs):
        ids[row, : len(prompt) + len(tokens)] = torch.tensor([*prompt, *tokens])
        is_token[row, : len(prompt) + len(tokens)] = 1
        predicts[row, len(prompt) - 1 : len(prompt) + len(tokens) - 1] = True
    ids, is_token, predicts = ids.to(device), is_token.to(device), predicts.to(device)
    logits = model(input_ids=ids, attention_mask=is_token, use_cache=False).logits
    per_token = logits_logps(logits[:, :-1][predicts], ids[:, 1:][predicts])
    owners = predicts.nonzero()[:, 0]
    return per_token.new_zeros(len(pairs)).index_add(0, owners, per_token)
