"""Efficient exact optimisation."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from prefloop.batches import PairLogps

aliases = ("exo_pair",)


def exo(
    y: PairLogps, *, beta: float = 0.1, label_smoothing: float = 1e-3
) -> Float[Tensor, " pair"]:
    """The reverse of DPO's divergence: KL from the policy's own answer to the oracle's.

        ℓ = q log(q/p̃) + (1−q) log((1−q)/(1−p̃)),      q = σ(βh),  p̃ = p + ε (1 − 2p)

    Ji et al. 2024, eq. 16 (arXiv:2402.00856); TRL's `exo_pair`; ε is `label_smoothing`. Minimised
    at q = p̃, as DPO on smoothed labels is. The slope is q(1−q)(logit q − logit p̃), so where the
    policy is sure it does not move, right or wrong: it settles on what it has found.
    """
    if not 0 < label_smoothing < 0.5:
        raise ValueError(
            "label_smoothing must lie between 0, where a certain answer costs infinity, and 0.5, "
            f"where a label says nothing, got {label_smoothing}"
        )
    h = beta * y.margin
    p = y.p + label_smoothing * (1 - 2 * y.p)
    wins, loses = logsigmoid(h), logsigmoid(-h)
    return h.sigmoid() * (wins - p.log()) + (-h).sigmoid() * (loses - (1 - p).log())
