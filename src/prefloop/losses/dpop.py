"""DPO-positive."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from prefloop.batches import PairLogps


def dpop(y: PairLogps, *, beta: float = 0.1, lam: float = 5.0) -> Float[Tensor, " pair"]:
    """DPO that charges for making the preferred response less likely than the reference does.

        ℓ(w, l) = −log σ(β (h_wl − λ max(0, −d_w))),    d = log π(y)/π_ref(y),   h_wl = d_w − d_l
        ℓ       = p ℓ(a, b) + (1−p) ℓ(b, a)

    Pal et al. 2024 (arXiv:2402.13228). DPO is content when the rejected response falls faster than
    the preferred one; here a nat that the preferred one loses counts 1+λ times. As long as no
    response falls below the reference it is DPO. With soft labels each side is held up in turn.
    """
    loss_a, loss_b = (y.ref_a - y.a).relu(), (y.ref_b - y.b).relu()
    a_wins = logsigmoid(beta * (y.margin - lam * loss_a))
    b_wins = logsigmoid(beta * (-y.margin - lam * loss_b))
    return -y.p * a_wins - (1 - y.p) * b_wins
