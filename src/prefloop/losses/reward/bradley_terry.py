"""Bradley–Terry on scores."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from prefloop.batches import PairScores


def bradley_terry(y: PairScores, *, center: float = 0.0) -> Float[Tensor, " pair"]:
    """Cross-entropy between the oracle's p and σ of the score gap.

        ℓ = −p log σ(r_a − r_b) − (1−p) log σ(r_b − r_a) + center · (r_a + r_b)²

    Bradley & Terry 1952; Ouyang et al. 2022, eq. 1 (arXiv:2203.02155); the centring is Eisenstein
    et al. 2023's (arXiv:2312.09244). Minimised at σ(r_a − r_b) = p. Only gaps within a prompt are
    determined: r + C(x) has the same loss, and centring keeps that C near 0.
    """
    cross = -y.p * logsigmoid(y.gap) - (1 - y.p) * logsigmoid(-y.gap)
    return cross + center * (y.a + y.b).square()
