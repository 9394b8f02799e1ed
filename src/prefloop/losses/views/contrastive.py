"""InfoNCE: pick a view's partner out of a batch."""

from jaxtyping import Float
from torch import Tensor

from prefloop.batches import ViewCodes
from prefloop.losses.views._information import must_have_negatives


def contrastive(y: ViewCodes) -> Float[Tensor, " view"]:
    """Cross-entropy of finding each first view's own second view among all N.

        ℓ_i = −log [exp T(z₁ᵢ, z₂ᵢ) / Σ_j exp T(z₁ᵢ, z₂ⱼ)]

    van den Oord et al. 2018 (arXiv:1807.03748); the ablation "CL" of RLP. log N − ℓ is a lower
    bound on the shared information in nats, which can never say more than log N.
    """
    must_have_negatives(y)
    return y.score.logsumexp(1) - y.score.gather(1, y.own[:, None])[:, 0]
