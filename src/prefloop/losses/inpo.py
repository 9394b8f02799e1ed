"""Iterative Nash policy optimisation."""

from jaxtyping import Float
from torch import Tensor

from prefloop.batches import PairLogps

needs = ("prev",)


def inpo(y: PairLogps, *, eta: float = 0.0075, tau: float = 0.0025) -> Float[Tensor, " pair"]:
    """Regress the margin over a mixture of two references onto ±1/(2η).

        ℓ   = p (h_t − 1/2η)² + (1−p) (h_t + 1/2η)²
        h_t = log π(a)/m(a) − log π(b)/m(b),      m = π_ref^(τ/η) · π_t^(1−τ/η)

    Zhang et al. 2024 (arXiv:2407.00617); π_t is `prev`, the policy as the round began. On pairs of
    π_t's own samples it is minimised by π ∝ m · exp(P(y ≻ π_t)/η), a step of online mirror descent
    towards the Nash policy of the game regularised by τ. η is the step's price, τ that of leaving
    π_ref; with η = τ it forgets π_t and is `ipo`.
    """
    if not 0 <= tau <= eta or eta <= 0:
        raise ValueError(
            f"inpo mixes the references by τ/η, so 0 ≤ tau ≤ eta and eta > 0, got tau={tau} and "
            f"eta={eta}"
        )
    if y.prev_a is None or y.prev_b is None:
        raise ValueError(
            "inpo needs prev_a and prev_b, the log-probabilities under the policy as the round "
            "began, got None: fill them, or take ipo, which has one reference"
        )
    share = tau / eta
    mix_a = share * y.ref_a + (1 - share) * y.prev_a
    mix_b = share * y.ref_b + (1 - share) * y.prev_b
    h, target = (y.a - mix_a) - (y.b - mix_b), 1 / (2 * eta)
    return y.p * (h - target) ** 2 + (1 - y.p) * (h + target) ** 2
