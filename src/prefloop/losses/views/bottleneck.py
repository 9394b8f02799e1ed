"""The multi-view information bottleneck: keep what two views share, and only that."""

from jaxtyping import Float
from torch import Tensor

from prefloop.batches import ViewCodes
from prefloop.losses.views._information import Negatives, dependence


def bottleneck(
    y: ViewCodes, *, skl: float = 1.0, negatives: Negatives = "all"
) -> Float[Tensor, " view"]:
    """Minus the codes' shared information, plus what a code says that the other view does not.

        ℓ = −Î(z₁; z₂) + skl · ½ [KL(p₁‖p₂) + KL(p₂‖p₁)]

    Federici et al. 2020 (arXiv:2002.07017); RLP-UML's L_M with skl = 1 throughout (Lang et al.
    2024, arXiv:2403.19279). The divergence is in closed form: Federici's code estimates it by one
    draw, which may be negative, and raises its weight from 1e-3 to 1 over 100 000 steps. `roll`
    takes the next pair's view as the one negative, as that code does, instead of all.
    """
    return skl * _divergence(y) - dependence(y, negatives)


def _divergence(y: ViewCodes) -> Float[Tensor, " view"]:
    """½ [KL(p₁‖p₂) + KL(p₂‖p₁)] of factorised Gaussians, as a sum of squares.

    ¼ Σ [(σ₁/σ₂ − σ₂/σ₁)² + (μ₁ − μ₂)² (σ₁⁻² + σ₂⁻²)]: the logarithms cancel.
    """
    ratio = y.std_1 / y.std_2
    shift = (y.mean_1 - y.mean_2).square() * (y.std_1**-2 + y.std_2**-2)
    return ((ratio - 1 / ratio).square() + shift).sum(1) / 4
