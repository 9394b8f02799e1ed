"""Conservative direct preference optimisation."""

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from prefloop.batches import PairLogps
from prefloop.losses.dpo import dpo


def cdpo(
    y: PairLogps, *, beta: float = 0.1, label_smoothing: float = 0.1
) -> Float[Tensor, " pair"]:
    """DPO on labels of which a share ε = `label_smoothing` is believed to be flipped.

        ℓ(w, l) = −(1−ε) log σ(βh) − ε log σ(−βh),      ℓ = p ℓ(a, b) + (1−p) ℓ(b, a)

    Mitchell 2023, the label smoothing of DPO's own code (arXiv:2305.18290). It is DPO with
    p + ε − 2pε in place of p, so a certain answer has a finite optimum: βh = log((1−ε)/ε). It fits
    the noisy labels, not the clean ones behind them; `robust` does that.
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing is a probability, from 0 to 1, got {label_smoothing}")
    return dpo(replace(y, p=y.p + label_smoothing * (1 - 2 * y.p)), beta=beta)
