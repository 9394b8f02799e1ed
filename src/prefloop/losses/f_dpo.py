"""Direct preference optimisation under other divergences."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from prefloop.batches import PairLogps


def f_dpo(
    y: PairLogps,
    *,
    beta: float = 0.1,
    divergence: Literal["forward_kl", "js", "alpha"] = "js",
    alpha: float | None = None,
) -> Float[Tensor, " pair"]:
    """DPO for a policy that is held to the reference by another divergence than the reverse KL.

        ℓ = −p log σ(z) − (1−p) log σ(−z),    z = β (f'(u_a) − f'(u_b)),    u = π(y)/π_ref(y)
        f'(u) = −1/u,   log 2u/(1+u),   (u^(α−1) − 1)/(α − 1)     (forward_kl, js, alpha)

    Wang et al. 2023 (arXiv:2309.16240); TRL's `f_divergence_type`. Minimised at σ(z) = p, so a
    Bradley–Terry oracle gives the optimum of E r − β D_f: f'(π/π_ref) = r/β + constant. α, ½
    unless set, leads from the forward KL at 0 to the reverse at 1, which is `dpo`. What has become
    likelier is rewarded ever less; what e⁵⁰ times as unlikely is held there.
    """
    if alpha is not None and divergence != "alpha":
        raise ValueError(f"divergence={divergence} has no alpha, got {alpha}; leave it out")
    order = {"forward_kl": 0.0, "alpha": 0.5 if alpha is None else alpha}.get(divergence)
    if order is not None and order >= 1:
        raise ValueError(f"alpha must be below 1, where it is dpo, got {order}")
    z = beta * (_score(y.a - y.ref_a, order) - _score(y.b - y.ref_b, order))
    return -y.p * logsigmoid(z) - (1 - y.p) * logsigmoid(-z)


def _score(d: Float[Tensor, " pair"], order: float | None) -> Float[Tensor, " pair"]:
    """f'(e^d) but for a constant; Jensen–Shannon's where there is no order."""
    if order is None:
        return logsigmoid(d)
    return ((order - 1) * d).clamp(max=50).exp() / (order - 1)
