"""Bradley–Terry weighted by the strength of preference."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from prefloop.batches import PairScores

needs = ("strength",)
aliases = ("scaled_bt",)


def scaled(y: PairScores, *, center: float = 0.0) -> Float[Tensor, " pair"]:
    """Bradley–Terry in which a comparison counts as often as its preference is strong.

        ℓ = m · [−p log σ(r_a − r_b) − (1−p) log σ(r_b − r_a)] + center · (r_a + r_b)²

    Wang et al. 2024, HelpSteer2-Preference (arXiv:2410.01257); m is `strength`. As if each answer
    had been given m times: what one pair rests at, σ(r_a − r_b) = p, does not move, unlike under
    `margin`, but pairs that contradict each other are settled for the stronger. m = 0 is ignored.
    """
    if y.strength is None:
        raise ValueError(
            "scaled needs strength, how much better the better one is, got None: give every "
            "preference one, or take bradley_terry, which it is where all are 1"
        )
    cross = -y.p * logsigmoid(y.gap) - (1 - y.p) * logsigmoid(-y.gap)
    return y.strength * cross + center * (y.a + y.b).square()
