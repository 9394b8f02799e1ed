"""Direct preference optimisation that undoes label flips of a known rate."""

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from prefloop.batches import PairLogps
from prefloop.losses.dpo import dpo


def robust(
    y: PairLogps, *, beta: float = 0.1, label_smoothing: float = 0.1
) -> Float[Tensor, " pair"]:
    """An unbiased estimate of DPO's loss on clean labels, from labels flipped at a known rate.

        ℓ(w, l) = [−(1−ε) log σ(βh) + ε log σ(−βh)] / (1 − 2ε),    ℓ = p ℓ(a, b) + (1−p) ℓ(b, a)

    Chowdhury et al. 2024 (arXiv:2403.00409); the flip rate ε is `label_smoothing`, as in TRL. It is
    DPO with (p−ε)/(1−2ε) in place of p, which flips of rate ε turn back into p on average. On one
    certain label it falls without bound as h grows: only the average over many holds it back.
    """
    if not 0 <= label_smoothing < 0.5:
        raise ValueError(
            "label_smoothing must be at least 0 and below 0.5, where a label says nothing, "
            f"got {label_smoothing}"
        )
    return dpo(replace(y, p=(y.p - label_smoothing) / (1 - 2 * label_smoothing)), beta=beta)
