"""Direct preference optimisation with a price on length."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from prefloop.batches import PairLogps


def r_dpo(y: PairLogps, *, beta: float = 0.1, alpha: float = 0.01) -> Float[Tensor, " pair"]:
    """DPO for the reward less α per token: being longer explains part of a preference.

        ℓ = −p log σ(z) − (1−p) log σ(−z),      z = βh + α (|a| − |b|)

    Park et al. 2024 (arXiv:2403.19159). Minimised at σ(z) = p, so a Bradley–Terry oracle gives
    π ∝ π_ref · exp((r − α|y|)/β). The sign is plus: a longer preferred response needs a smaller
    margin. With a minus inside, length is rewarded.
    """
    z = beta * y.margin + alpha * (y.len_a - y.len_b)
    return -y.p * logsigmoid(z) - (1 - y.p) * logsigmoid(-z)
