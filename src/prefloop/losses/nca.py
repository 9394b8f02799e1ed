"""Noise contrastive alignment."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from prefloop.batches import PairLogps

aliases = ("nca_pair",)


def nca(y: PairLogps, *, beta: float = 0.1) -> Float[Tensor, " pair"]:
    """Tell each response from noise: the answers are its signal, the pair's law the noise.

        ℓ = −p log σ(βd_a) − (1−p) log σ(βd_b) − ½ log σ(−βd_a) − ½ log σ(−βd_b)

    Chen et al. 2024 (arXiv:2402.05369), for two responses; d = log π(y)/π_ref(y); TRL's `nca_pair`.
    Minimised at βd_a = log 2p and βd_b = log 2(1−p): the margin is DPO's, and each log-ratio has
    a place of its own, a preferred response's above the reference. Over many opponents, drawn from
    μ, the place is βd = log 2P(y ≻ μ).
    """
    d_a, d_b = beta * (y.a - y.ref_a), beta * (y.b - y.ref_b)
    signal = y.p * logsigmoid(d_a) + (1 - y.p) * logsigmoid(d_b)
    return -signal - (logsigmoid(-d_a) + logsigmoid(-d_b)) / 2
