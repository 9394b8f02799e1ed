"""What two views' codes say about each other, estimated from a critic's scores."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from prefloop.batches import ViewCodes

Negatives = Literal["all", "roll"]
"""which second views stand for the product of the marginals: all that are not a view's own, or
the next one only"""


def jensen_shannon(
    joint: Float[Tensor, " view"], product: Float[Tensor, "view negative"]
) -> Float[Tensor, " view"]:
    """Î = E_joint[−softplus(−T)] − E_product[softplus(T)]: how dependent the two are, at most 0.

    Hjelm et al. 2019 (arXiv:1808.06670), eq. 4. −2 log 2 for a critic that says nothing; at best
    2 JSD(joint‖product) − 2 log 2, so that it orders codes as their information does but is not in
    nats.
    """
    return -softplus(-joint) - softplus(product).mean(1)


def dependence(y: ViewCodes, negatives: Negatives = "all") -> Float[Tensor, " view"]:
    """Each first view's Î with its own second view, others' second views as negatives."""
    must_have_negatives(y)
    joint = y.score.gather(1, y.own[:, None])[:, 0]
    return jensen_shannon(joint, _strangers(y, negatives))


def must_have_negatives(y: ViewCodes) -> None:
    """ValueError for a batch of one: then the product of the marginals is the joint law itself."""
    if y.score.shape[1] < 2:
        raise ValueError(
            "mutual information needs another prompt's views as negatives: at least 2 pairs of "
            f"views, got a batch of {y.score.shape[1]}; raise reward.views_batch, or give more "
            "prompts"
        )


def _strangers(y: ViewCodes, negatives: Negatives) -> Float[Tensor, "view negative"]:
    views, others = y.score.shape
    if negatives == "roll":
        return y.score.gather(1, (y.own[:, None] + 1) % others)
    columns = torch.arange(others, device=y.own.device)
    return y.score[columns != y.own[:, None]].view(views, others - 1)
