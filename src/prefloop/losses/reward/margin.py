"""Bradley–Terry with a margin to win by."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from prefloop.batches import PairScores

needs = ("strength",)
aliases = ("margin_bt",)


def margin(y: PairScores, *, scale: float = 1.0, center: float = 0.0) -> Float[Tensor, " pair"]:
    """Bradley–Terry whose better side must win by more, the stronger the preference.

        ℓ = −p log σ(r_a − r_b − m) − (1−p) log σ(r_b − r_a − m) + center · (r_a + r_b)²

    Touvron et al. 2023, eq. 2 (arXiv:2307.09288); m is `scale` · `strength`, TRL's `margin` column.
    Whoever is preferred pays the margin, so a soft p is the mean over its hard labels. A certain
    label has no minimum, as without margin; labels of odds o = p/(1−p) rest at a gap of
    log{[o−1 + √((o−1)² + 4o e^−2m)] / (2 e^−m)}, wider than log o.
    """
    if y.strength is None:
        raise ValueError(
            "margin needs strength, how much better the better one is, got None: give every "
            "preference one, or take bradley_terry, which it is where all are 0"
        )
    m = scale * y.strength
    cross = -y.p * logsigmoid(y.gap - m) - (1 - y.p) * logsigmoid(-y.gap - m)
    return cross + center * (y.a + y.b).square()
