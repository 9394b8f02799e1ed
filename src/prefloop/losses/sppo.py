"""Self-play preference optimisation on estimated win rates."""

from jaxtyping import Float
from torch import Tensor

from prefloop.batches import PairLogps

needs = ("win",)
exempt = {
    "preferring_a_pushes_a_up_and_b_down": "each response follows its own win rate, whatever the "
    "pair's own answer says"
}


def sppo(y: PairLogps, *, beta: float = 0.1) -> Float[Tensor, " pair"]:
    """Regress each response's log-ratio onto its win rate against the policy.

        ℓ = ½ (d_a − (P_a − ½)/β)² + ½ (d_b − (P_b − ½)/β)²,    d = log π(y)/π_ref(y)

    Wu et al. 2024, eq. 4.7 (arXiv:2405.00675); P = `win`, the reference is the policy as the round
    began, β is one over the paper's η. The pair's own answer `p` is not used: it has gone into the
    win rates. Minimised at d = (P − ½)/β: the step π ∝ π_ref · exp(P/β), whose log-normaliser it
    takes to be 1/(2β), as it nearly is for large β.
    """
    if y.win_a is None or y.win_b is None:
        raise ValueError(
            "sppo needs the win rates win_a and win_b of both responses, got None: estimate them "
            "from the round's answers, or take sppo_hard, which has the pair's own answer for them"
        )
    miss_a = y.a - y.ref_a - (y.win_a - 0.5) / beta
    miss_b = y.b - y.ref_b - (y.win_b - 0.5) / beta
    return (miss_a**2 + miss_b**2) / 2
