"""Online identity preference optimisation."""

from jaxtyping import Float
from torch import Tensor

from prefloop.batches import PairLogps


def online_ipo(y: PairLogps, *, beta: float = 0.1) -> Float[Tensor, " pair"]:
    """Regress the margin onto (p − ½)/β, on pairs of the policy's own samples.

        ℓ = (h − (p − ½)/β)²

    Calandriello et al. 2024 (arXiv:2403.08635), where β is called τ. It is `ipo` less a constant
    and has its gradient; what is new is whom it is used on. Where every pair is two samples of the
    current π, it is at rest at π ∝ π_ref · exp(P(y ≻ π)/β) alone: the Nash policy of the game
    whose payoff is P, even where preferences are cyclic.
    """
    return (y.margin - (y.p - 0.5) / beta) ** 2
