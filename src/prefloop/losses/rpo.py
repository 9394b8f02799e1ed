"""Direct preference optimisation with a likelihood term."""

from jaxtyping import Float
from torch import Tensor

from prefloop.batches import PairLogps
from prefloop.losses.dpo import dpo


def rpo(y: PairLogps, *, beta: float = 0.1, alpha: float = 1.0) -> Float[Tensor, " pair"]:
    """DPO plus α times the preferred response's negative log-likelihood per token.

        ℓ = DPO − α [p log π(a)/|a| + (1−p) log π(b)/|b|]

    Pang et al. 2024 (arXiv:2404.19733). Each response is averaged over its own tokens, so a row is
    worth the same in any batch; TRL's `["sigmoid", "sft"]` averages over the tokens of the batch,
    where long responses count more. The likelihood term never rests: it keeps the preferred
    response from falling, and pulls towards imitation once the margin is won.
    """
    return dpo(y, beta=beta) - alpha * (y.p * y.a / y.len_a + (1 - y.p) * y.b / y.len_b)
