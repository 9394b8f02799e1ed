"""Self-improving alignment."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from prefloop.batches import PairLogps

needs = ("on_policy", "whole")
exempt = {
    "the_gradient_matches_finite_differences": "the score term has a gradient and no value: it "
    "is about what will be sampled, not about the pair at hand"
}


def sail(
    y: PairLogps,
    *,
    beta: float = 0.1,
    gamma: float = 0.3,
    own_online: float = 0.0,
    pi: float = 0.0,
    own_offline: float = 0.0,
    rho: float = 0.0,
) -> Float[Tensor, " pair"]:
    """DPO that also answers for which responses the policy will sample next.

        a pair of            answered by an oracle     answered by the policy itself
        its own samples      −F − γ sg(F − b) S        πH + π sg(H − b) S
        a file's texts       −F                        ρH

        F = p log σ(βh) + (1−p) log σ(−βh),    H = −σ(βh) log σ(βh) − σ(−βh) log σ(−βh)
        S = log π(a) + log π(b),  sg: no gradient,  b: the mean over the batch's other such pairs

    Ding et al. 2024 (arXiv:2406.15567). What the paper draws is summed over here: the policy's own
    labels, and the routes, so that a pair is weighed by its column's share, `own_online` or
    `own_offline` for the second. A batch of published shares r, p, g has p + g of own samples,
    own_online = p/(p+g), own_offline = r/(1−p−g). SAIL-PR is the default, SAIL-PP own_online=1 with
    pi, SAIL-DP own_offline with rho.

    At γ = 1 it descends −E F over pairs drawn from π × π, at π = 1 E H, the law of the pairs
    included; they must be independent, untruncated samples of the present π at temperature 1. S
    counts zero in the value. Under its own answers DPO's part is zero and H makes the policy sure
    of whatever it leans to. No clamp is needed: a response is pushed by γ(F − b) however short it
    is, and H is flat in its tails, where the published −F − ½ρF² has no floor.
    """
    _check("own_online", own_online, "pi", pi)
    _check("own_offline", own_offline, "rho", rho)
    whole, on_policy, counts = _needed(y)

    def worth(rows: PairLogps) -> Tensor:
        oracle, own = gamma * (1 - own_online), pi * own_online
        return (oracle * _fit(rows, beta) - own * _entropy(rows, beta)).detach()

    push = worth(y) - _mean_of_others(worth(y), worth(whole), counts)
    score = (y.a + y.b) - (y.a + y.b).detach()
    own = own_offline + (own_online - own_offline) * on_policy
    sure = own_offline * rho + (own_online * pi - own_offline * rho) * on_policy
    return sure * _entropy(y, beta) - (1 - own) * _fit(y, beta) - on_policy * push * score


def _fit(y: PairLogps, beta: float) -> Float[Tensor, " pair"]:
    """F, how likely the answers are under the policy's σ(βh)."""
    z = beta * y.margin
    return y.p * logsigmoid(z) + (1 - y.p) * logsigmoid(-z)


def _entropy(y: PairLogps, beta: float) -> Float[Tensor, " pair"]:
    """H, how unsure the policy is of its own answers."""
    z = beta * y.margin
    return -z.sigmoid() * logsigmoid(z) - (-z).sigmoid() * logsigmoid(-z)


def _mean_of_others(
    mine: Float[Tensor, " pair"], batch: Float[Tensor, " row"], counts: Float[Tensor, " row"]
) -> Float[Tensor, " pair"]:
    """For each row the mean over all others of the batch that count; zero where there are none.

    A mean that includes the row itself is not independent of it, and scales the term by 1 − 1/B.
    """
    return ((batch * counts).sum() - mine) / (counts.sum() - 1).clamp(min=1)


def _needed(y: PairLogps) -> tuple[PairLogps, Float[Tensor, " pair"], Float[Tensor, " row"]]:
    """The whole batch, and which rows are on-policy, here and in it."""
    if y.whole is None or y.whole.on_policy is None or y.on_policy is None:
        raise ValueError(
            "sail needs on_policy, and the whole accumulated batch with its on_policy, got None: "
            "say which pairs are the policy's own samples, and pass the detached batch as whole"
        )
    if (torch.minimum(y.len_a, y.len_b) < 1).any():
        raise ValueError(
            "sail needs responses of at least 1 token, EOS included, got an empty one: it cannot "
            "be made likelier; drop its pair"
        )
    return y.whole, y.on_policy.to(y.a), y.whole.on_policy.to(y.a)


def _check(share: str, value: float, weight: str, strength: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{share} is a share of pairs, from 0 to 1, got {value}")
    if (value > 0) != (strength > 0):
        raise ValueError(
            f"{share} and {weight} do nothing without each other, got {share}={value} and "
            f"{weight}={strength}; set both or neither"
        )
