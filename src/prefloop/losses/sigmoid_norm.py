"""Length-normalised direct preference optimisation."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from prefloop.batches import PairLogps


def sigmoid_norm(y: PairLogps, *, beta: float = 5.0) -> Float[Tensor, " pair"]:
    """DPO on log-ratios per token, so that long responses have no louder voice.

        ℓ = −p log σ(βh̄) − (1−p) log σ(−βh̄)
        h̄ = log(π(a)/π_ref(a)) / |a| − log(π(b)/π_ref(b)) / |b|

    Lambert et al. 2024 (arXiv:2411.15124), whose β is 5; TRL's `sigmoid_norm`. Minimised at
    σ(βh̄) = p. Where all responses have n tokens it is DPO with β/n; where they have not, its
    optimum is no KL-regularised one: a long response may move |y| times as far.
    """
    h = beta * ((y.a - y.ref_a) / y.len_a - (y.b - y.ref_b) / y.len_b)
    return -y.p * logsigmoid(h) - (1 - y.p) * logsigmoid(-h)
