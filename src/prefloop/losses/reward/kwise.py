"""Bradley–Terry on every pair of a ranked list."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from prefloop.batches import ListScores


def kwise(y: ListScores) -> Float[Tensor, " list"]:
    """Bradley–Terry's loss, the mean over the pairs of a ranked list.

        ℓ = −1/C(K,2) Σ_{i<j} p_ij log σ(s_i − s_j) + (1−p_ij) log σ(s_j − s_i)

    Ouyang et al. 2022, eq. 1 (arXiv:2203.02155); p_ij is 1 where i ranks before j, ½ where they
    tie. A list counts once however long it is, and its pairs stay in one batch: they are no more
    independent than its K responses. A list of one says nothing and is worth 0.
    """
    before, after = (y.list[:, None] == y.list).triu(1).nonzero(as_tuple=True)
    gap = y.score[before] - y.score[after]
    p = (1 + (y.rank[after] - y.rank[before]).sign()) / 2
    cross = -p * logsigmoid(gap) - (1 - p) * logsigmoid(-gap)
    zero = y.score.new_zeros(int(y.list.max()) + 1 if len(y.list) else 0)
    pairs = zero.index_add(0, y.list[before], torch.ones_like(gap))
    return zero.index_add(0, y.list[before], cross) / pairs.clamp(min=1)
