"""The likelihood of a ranking."""

from math import comb

import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.batches import ListScores

MOST_TIED = 14


def plackett_luce(y: ListScores) -> Float[Tensor, " list"]:
    """Negative log-likelihood of choosing the best, then the best of the rest, and so on.

        ℓ = −Σ_k [s_k − log(exp s_k + … + exp s_K)],      s_1 the best's score

    Plackett 1975, Luce 1959; Zhu et al. 2023 (arXiv:2301.11270). Two responses are Bradley–Terry,
    and so is every pair of a ranking drawn from this law. A tie is the mean of ℓ over the orders of
    the tied: of two it is Bradley–Terry at p = ½ (Breslow's and Efron's ties count it twice).
    """
    lists = range(int(y.list.max()) + 1 if len(y.list) else 0)
    values = [_surprise(y.score[y.list == i], y.rank[y.list == i]) for i in lists]
    return torch.stack(values) if values else y.score.new_zeros(0)


def _surprise(score: Float[Tensor, " response"], rank: Float[Tensor, " response"]) -> Tensor:
    levels: Tensor = rank.unique()  # type: ignore[no-untyped-call]
    stages = [_left(score[rank == level], score[rank > level]) for level in levels]
    return sum(stages, -score.sum())


def _left(tied: Float[Tensor, " tied"], worse: Float[Tensor, " worse"]) -> Tensor:
    """Σ over the choices of the tied of log Σ exp of who is left, the mean over their orders.

    Before the choice that leaves k of t, every k of them are as likely to be left.
    """
    count = len(tied)
    if count > MOST_TIED:
        raise ValueError(
            f"at most {MOST_TIED} responses of a list may tie, got {count}: averaging over their "
            "orders doubles with every one; kwise takes any ties"
        )
    bits = torch.arange(1, 2**count, device=tied.device)[:, None]
    left = (bits >> torch.arange(count, device=tied.device)) % 2 == 1
    chance = tied.new_tensor([1 / comb(count, k) for k in range(count + 1)])[left.sum(1)]
    among = torch.where(left, tied, -torch.inf)
    both = torch.cat([among, worse.expand(len(among), -1)], dim=1)
    return chance @ both.logsumexp(1)
