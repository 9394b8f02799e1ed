"""Binary classifier optimisation."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from prefloop.batches import PointLogps

needs = ("whole",)


def bco(y: PointLogps, *, beta: float = 0.1) -> Float[Tensor, " sample"]:
    """Logistic regression of desirability on the implicit reward, centred on the batch.

        ℓ = −log σ(βd − δ)  if desirable, else −log σ(δ − βd),    d = log π(y)/π_ref(y)

    Jung et al. 2024 (arXiv:2404.04656); δ is the mean of βd over the whole accumulated batch,
    without gradient, as in TRL's `BCOTrainer` on its first step (which then averages over all
    steps). For any δ the two losses of a pair add up to an upper bound of DPO's, the tightest at
    δ = ½β(d_w + d_l). Unlike `kto` it pushes hardest where it is most wrong.
    """
    if y.whole is None:
        raise ValueError(
            "bco centres rewards on the whole accumulated batch, got whole=None: pass the batch "
            "itself, detached, where it is not cut"
        )
    reward = beta * (y.y - y.ref - (y.whole.y - y.whole.ref).mean())
    return -logsigmoid(torch.where(y.desirable, reward, -reward))
