"""Discovered preference optimisation."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from prefloop.batches import PairLogps

exempt = {
    "preferring_a_pushes_a_up_and_b_down": "between its two halves, at the reference too, it "
    "pushes the preferred response down"
}


def discopop(y: PairLogps, *, beta: float = 0.1, tau: float = 0.05) -> Float[Tensor, " pair"]:
    """DPO's loss below the reference's margin and an exponential one above, blended at zero.

        f(x) = (1 − m) log(1 + e⁻ˣ) + m e⁻ˣ,    m = σ(x/τ),      ℓ = p f(βh) + (1−p) f(−βh)

    Lu et al. 2024, eq. 5 (arXiv:2406.08414), found by a language model; TRL's `discopop`, with its
    τ. e⁻ˣ lies above log(1 + e⁻ˣ), so the blend climbs: from x = −0.12 to 0.07, the reference
    between them, it pushes the wrong way, and a pair that begins there settles at −0.12.
    """
    if tau <= 0:
        raise ValueError(f"tau is the width of a blend and must be positive, got {tau}")
    h = beta * y.margin
    return y.p * _blend(h, tau) + (1 - y.p) * _blend(-h, tau)


def _blend(x: Float[Tensor, " pair"], tau: float) -> Float[Tensor, " pair"]:
    """The exponential is taken of a sum: e⁻ˣ alone overflows where m is zero."""
    exponential = (logsigmoid(x / tau) - x).exp()
    return exponential - (-x / tau).sigmoid() * logsigmoid(x)
