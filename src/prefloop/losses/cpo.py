"""Contrastive preference optimisation."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from prefloop.batches import PairLogps


def cpo(y: PairLogps, *, beta: float = 0.1, alpha: float = 1.0) -> Float[Tensor, " pair"]:
    """DPO against a uniform reference, and imitation of the preferred response.

        ℓ(w, l) = −log σ(β (log π(w) − log π(l))) − α log π(w)/|w|,    ℓ = p ℓ(a, b) + (1−p) ℓ(b, a)

    Xu et al. 2024 (arXiv:2401.08417); TRL's `cpo` averages the second term over the tokens of the
    batch and calls α `cpo_alpha`. No reference model, so it fits where two do not. But a longer
    response starts far behind on sums: the margin is won or lost on length at first, and only α
    holds the policy to what it could write.
    """
    h = beta * (y.a - y.b)
    imitation = y.p * y.a / y.len_a + (1 - y.p) * y.b / y.len_b
    return -y.p * logsigmoid(h) - (1 - y.p) * logsigmoid(-h) - alpha * imitation
