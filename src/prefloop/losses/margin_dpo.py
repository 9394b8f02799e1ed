"""Pessimistic direct preference optimisation."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from prefloop.batches import PairLogps

needs = ("width",)


def margin_dpo(y: PairLogps, *, beta: float = 0.1, scale: float = 1.0) -> Float[Tensor, " pair"]:
    """DPO for the lower end of what the reward may be: a response of unsure reward must win more.

        ℓ = −p log σ(z) − (1−p) log σ(−z),      z = βh + κ (Γ_a − Γ_b)

    Xiong et al. 2023, GSHF (arXiv:2312.11456); Γ is `width`, κ is `scale`. Minimised at σ(z) = p,
    so on data it gives π ∝ π_ref · exp((r_MLE − κΓ)/β). The sign is plus: widths are credited like
    margin that is there already, so an uncertain winner gains less. κ < 0 is optimism, r_MLE + Γ.
    """
    if y.width_a is None or y.width_b is None:
        raise ValueError(
            "margin_dpo needs width_a and width_b, how uncertain each reward is, got None: "
            "estimate them on features, or take dpo, which it is where all are the same"
        )
    z = beta * y.margin + scale * (y.width_a - y.width_b)
    return -y.p * logsigmoid(z) - (1 - y.p) * logsigmoid(-z)
