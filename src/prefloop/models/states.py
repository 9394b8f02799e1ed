"""Hidden states of responses, as features: what the model made of them by their last token."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.models.transformer import TransformerPolicy, grow
from prefloop.models.tree import Tree, backbone, layout
from prefloop.types import Response


@torch.no_grad()
def last_states(
    policy: TransformerPolicy, responses: Sequence[Response]
) -> Float[np.ndarray, "response width"]:
    """The last hidden state, behind the final norm, at each response's last token; in float32.

    The last token is a valid one (EOS, or where the length limit cut it), never a pad, so that the
    state is the same in any batch, up to rounding. For features of the reference, give the policy
    that `references` yields.
    """
    trees, places = grow(responses)
    states: list[list[np.ndarray]] = [[] for _ in trees]
    for batch in policy.plan(trees, policy.tokens):
        found = _states(policy, [trees[i] for i in batch]).float().cpu().numpy()
        owners = [i for i in batch for _ in trees[i].responses]
        for owner, state in zip(owners, found, strict=True):
            states[owner].append(state)
    if not places:
        width = policy.model.config.get_text_config().hidden_size
        return np.zeros((0, width), np.float32)
    return np.stack([states[tree][branch] for tree, branch in places])


def _states(policy: TransformerPolicy, trees: Sequence[Tree]) -> Float[Tensor, "response width"]:
    """For the trees' responses in order."""
    return _packed(policy, trees) if policy.packs else _padded(policy, trees)


def _packed(policy: TransformerPolicy, trees: Sequence[Tree]) -> Float[Tensor, "response width"]:
    where = layout(trees, policy.loaded.device)
    states: Tensor = backbone(policy.model)(
        input_ids=where.tokens,
        position_ids=where.positions,
        attention_mask=torch.ones(1, 1, 1, 1, device=policy.loaded.device),
        use_cache=False,
        tree=where,
    ).last_hidden_state[0]
    ends, at = [], 0
    for tree in trees:
        at += len(tree.prompt)
        for tokens in tree.responses:
            at += len(tokens)
            ends.append(at - 1)
    return states[torch.tensor(ends, device=states.device)]


def _padded(policy: TransformerPolicy, trees: Sequence[Tree]) -> Float[Tensor, "response width"]:
    rows = [[*tree.prompt, *tokens] for tree in trees for tokens in tree.responses]
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = torch.tensor(row)
    is_token = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    device = policy.loaded.device
    states: Tensor = backbone(policy.model)(
        input_ids=ids.to(device), attention_mask=is_token.to(device), use_cache=False
    ).last_hidden_state
    return states[torch.arange(len(rows), device=device), lengths.to(device) - 1]
