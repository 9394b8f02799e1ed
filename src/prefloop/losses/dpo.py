"""Direct preference optimisation."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from prefloop.batches import PairLogps

aliases = ("sigmoid",)


def dpo(y: PairLogps, *, beta: float = 0.1) -> Float[Tensor, " pair"]:
    """Cross-entropy between the oracle's p and the policy's own σ(βh).

        ℓ = −p log σ(βh) − (1−p) log σ(−βh)

    Rafailov et al. 2023, eq. 7 (arXiv:2305.18290). Minimised at σ(βh) = p, so a Bradley–Terry
    oracle gives π ∝ π_ref · exp(r/β).
    """
    h = beta * y.margin
    return -y.p * logsigmoid(h) - (1 - y.p) * logsigmoid(-h)
