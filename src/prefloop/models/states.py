"""Hidden states of responses, as features: what the model made of them by their last token."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from prefloop.models.forest import Forest, grow
from prefloop.models.transformer import TransformerPolicy
from prefloop.models.trunk import end_states
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
    if not responses:
        width = policy.model.config.get_text_config().hidden_size
        return np.zeros((0, width), np.float32)
    trees, places = grow(responses)
    forest = Forest(trees, places, policy.plan(trees, policy.tokens))
    found = forest.by_response(
        lambda batch: end_states(policy.model, batch, packs=policy.packs).float().cpu()
    )
    return found.numpy()
