"""Bradley–Terry with a head of its own for length."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from prefloop.batches import SplitScores

needs = ("whole",)


def odin(y: SplitScores, *, length: float = 1.0) -> Float[Tensor, " pair"]:
    """Two heads whose sum explains the answers, one of them length and the other nothing of it.

        ℓ = −p log σ(Δ) − (1−p) log σ(−Δ) + length · [1 − ρ(r_L, |y|) + |ρ(r_Q, |y|)|]
        Δ = (r_Q + r_L)(a) − (r_Q + r_L)(b)

    Chen et al. 2024, ODIN (arXiv:2402.07319); ρ is Pearson's over the responses of the whole
    accumulated batch, |y| in tokens. The score is r_Q alone: `reward.heads=2`,
    `reward.aggregate=first`. The paper's third term, the heads' inner product, is left out. A
    published copy sums rewards over the batch before log σ, which ranks batches and not pairs.
    In the value of a pair stands its share of ρ, z u − ρ (u² − 1)/2 averaged over its two
    responses, z and u being length and score in standard units: the mean is ρ, the slope is ρ's.
    """
    if y.whole is None:
        raise ValueError(
            "odin needs whole, the accumulated batch that correlations are of, got None: pass the "
            "batch itself, detached, where it is not cut"
        )
    gap = (y.a - y.b).sum(1)
    cross = -y.p * logsigmoid(gap) - (1 - y.p) * logsigmoid(-gap)
    (quality, rho), (along, _) = (_correlation(y, y.whole, head) for head in (0, 1))
    return cross + length * (1 - along + rho.sign() * quality)


def _correlation(
    y: SplitScores, whole: SplitScores, head: int
) -> tuple[Float[Tensor, " pair"], Float[Tensor, ""]]:
    """Each pair's share of ρ(head, length), and ρ, over the responses of the whole batch."""
    scores = torch.cat([whole.a[:, head], whole.b[:, head]])
    lengths = torch.cat([whole.len_a, whole.len_b])
    rho = (_standard(scores, scores) * _standard(lengths, lengths)).mean()
    shares = []
    for side, tokens in ((y.a[:, head], y.len_a), (y.b[:, head], y.len_b)):
        u, z = _standard(side, scores), _standard(tokens, lengths)
        shares.append(z * u - rho * (u.square() - 1) / 2)
    return (shares[0] + shares[1]) / 2, rho


def _standard(x: Float[Tensor, " row"], among: Float[Tensor, " other"]) -> Float[Tensor, " row"]:
    """In units of the others' standard deviation from their mean; 0 where they are all the same."""
    mean, deviation = among.mean(), among.std(correction=0)
    varies = deviation > 1e-6 * mean.abs()
    return (x - mean) / torch.where(varies, deviation, torch.inf)
