"""The plain policy gradient."""

from jaxtyping import Float
from torch import Tensor

from prefloop.batches import TokenLogps

needs = ("reward",)


def reinforce(y: TokenLogps) -> Float[Tensor, " token"]:
    """Raise a token by how much better than expected it turned out.

        ℓ = −A log π(token)

    Williams 1992; for language models Ahmadian et al. 2024 (arXiv:2402.14740). Summed over a
    response and averaged over responses: a token's value is multiplied by the mean length, since
    its mean is over tokens. The gradient of the expected reward on a round's first step; on later
    ones the samples are an older policy's and nothing corrects for it, which `rloo` and `ppo` do.
    """
    return -y.advantage * y.y * y.mean_length
