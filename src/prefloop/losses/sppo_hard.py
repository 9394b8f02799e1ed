"""Self-play preference optimisation on the pair's own answer."""

from jaxtyping import Float
from torch import Tensor

from prefloop.batches import PairLogps


def sppo_hard(y: PairLogps, *, beta: float = 0.1) -> Float[Tensor, " pair"]:
    """Regress both log-ratios, the preferred one onto 1/(2β), the other onto −1/(2β).

        ℓ(w, l) = (d_w − 1/2β)² + (d_l + 1/2β)²,    d = log π(y)/π_ref(y)
        ℓ       = p ℓ(a, b) + (1−p) ℓ(b, a)

    Wu et al. 2024 (arXiv:2405.00675), with the answer for the win rate; TRL's `sppo_hard`. β is one
    over the paper's η. Minimised at d_a = (p − ½)/β and d_b = −d_a: unlike IPO, which it equals at
    β/2 but for ½(d_a + d_b)², it says where each response goes. Over opponents from the reference
    that is the step π ∝ π_ref · exp(P(y ≻ π_ref)/β), if the log-normaliser is near 1/(2β).
    """
    d_a, d_b, target = y.a - y.ref_a, y.b - y.ref_b, 1 / (2 * beta)
    a_wins = (d_a - target) ** 2 + (d_b + target) ** 2
    b_wins = (d_a + target) ** 2 + (d_b - target) ** 2
    return y.p * a_wins + (1 - y.p) * b_wins
