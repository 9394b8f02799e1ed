"""Simple preference optimisation."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from prefloop.batches import PairLogps


def simpo(y: PairLogps, *, beta: float = 2.0, gamma: float = 1.0) -> Float[Tensor, " pair"]:
    """Rank by log-probability per token, with a margin γ to win by and without a reference.

        ℓ(w, l) = −log σ(z_w − z_l − γ),   z = β log π(y) / |y|,    ℓ = p ℓ(a, b) + (1−p) ℓ(b, a)

    Meng et al. 2024 (arXiv:2405.14734); γ is TRL's `simpo_gamma`, not its ratio to β. With γ = 0 it
    is minimised at σ(z_a − z_b) = p. A margin is demanded in both directions, so it overstates a
    soft label. Nothing but the learning rate keeps the policy near where it began.
    """
    z = beta * (y.a / y.len_a - y.b / y.len_b)
    return -y.p * logsigmoid(z - gamma) - (1 - y.p) * logsigmoid(-z - gamma)
