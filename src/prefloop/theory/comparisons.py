"""What finitely many comparisons determine: the Bradley–Terry fit, its widths, its limits.

`wins[i, j]` counts how often i beat j.
"""

from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.theory.fit import NoMinimum
from prefloop.theory.newton import Each, Local, Point, Square, Term, settle

Wins = Float[Tensor, "response response"]
Reward = Float[Tensor, " response"]


def has_fit(wins: Wins) -> bool:
    """Is there a finite Bradley–Terry fit? Only if everyone is linked to everyone by wins.

    Ford 1957: the graph of wins must be strongly connected, or someone's reward is ±∞.
    """
    reach = (wins > 0) | torch.eye(len(wins), dtype=torch.bool)
    for _ in range(len(wins).bit_length()):
        reach = (reach.double() @ reach.double()) > 0
    return bool(reach.all())


def loss(wins: Square, reward: Point, *, ridge: float = 0.0) -> Each:
    """−Σ W_ij log σ(r_i − r_j) + ridge/2 ‖r‖², summed over all comparisons."""
    fit = torch.nn.functional.logsigmoid(reward.unsqueeze(-1) - reward.unsqueeze(-2))
    return ridge / 2 * (reward**2).sum(-1) - (wins * fit).sum((-1, -2))


def likelihood(wins: Square, *, ridge: float = 0.0) -> Term:
    """The loss with its slope, expected wins − wins, and its curvature, for many prompts at once.

    The curvature is the Laplacian of the comparison graph, weighted by σσ̄.
    """
    both, won = wins + wins.mT, wins.sum(-1)
    eye = torch.eye(wins.shape[-1], dtype=wins.dtype)

    def term(reward: Point) -> Local:
        p = torch.sigmoid(reward.unsqueeze(-1) - reward.unsqueeze(-2))
        weight = both * p * (1 - p)
        curved = torch.diag_embed(weight.sum(-1)) - weight + ridge * eye
        return loss(wins, reward, ridge=ridge), (both * p).sum(-1) - won + ridge * reward, curved

    return term


def curvature(wins: Square, reward: Point, *, ridge: float = 0.0) -> Square:
    """Hessian of the loss; its inverse is the covariance of the Laplace posterior, ridge > 0."""
    return likelihood(wins, ridge=ridge)(reward)[2]


def bradley_terry(wins: Square, *, ridge: float = 0.0, start: Point | None = None) -> Point:
    """The reward that makes the wins likeliest, summing to zero.

    At it expected wins equal wins. Bradley and Terry 1952. NoMinimum where it is infinite; a
    positive ridge (the variance of a normal prior, inverted) makes it always finite.
    """
    if ridge == 0 and not has_fit(wins):
        raise NoMinimum(
            "no finite Bradley–Terry fit: the wins do not link every response to every other; "
            "compare more, or set ridge above 0"
        )
    at = torch.zeros_like(wins[..., 0]) if start is None else start
    found = settle(likelihood(wins, ridge=ridge), at)
    return found - found.mean(-1, keepdim=True)


def linear_fit(
    differences: Float[Tensor, "pair feature"], won: Float[Tensor, " pair"], *, ridge: float = 1.0
) -> Float[Tensor, " feature"]:
    """θ for which, with reward ⟨θ, φ⟩, the first sides likeliest won as they did; ridge/2 ‖θ‖²."""
    eye = torch.eye(differences.shape[1], dtype=differences.dtype)

    def term(theta: Point) -> Local:
        logits = differences @ theta
        p = torch.sigmoid(logits)
        fit = torch.nn.functional.softplus(logits) - won * logits
        curved = differences.T @ ((p * (1 - p))[:, None] * differences) + ridge * eye
        value = fit.sum() + ridge / 2 * theta @ theta
        return value, differences.T @ (p - won) + ridge * theta, curved

    return settle(term, torch.zeros_like(differences[0]))


def covariance(
    differences: Float[Tensor, "pair feature"], *, ridge: float = 1.0, batch: int = 1
) -> Float[Tensor, "feature feature"]:
    """Σ = λI + (1/m) Σ (φ(a) − φ(b))(φ(a) − φ(b))ᵀ over the comparisons made (arXiv:2312.11456).

    m is the number of answers a round: online each round counts as one, offline m is 1.
    """
    eye = torch.eye(differences.shape[1], dtype=differences.dtype)
    return ridge * eye + differences.T @ differences / batch


def width(
    features: Float[Tensor, "response feature"],
    centre: Float[Tensor, " feature"],
    cov: Float[Tensor, "feature feature"],
) -> Reward:
    """‖φ(y) − ν‖ in Σ⁻¹: how far the data leave r(y) − r(ν) open (arXiv:2312.11456).

    Comparisons determine differences only, hence the centre ν, such as E_π₀ φ.
    """
    shift = features - centre
    solved: Tensor = torch.linalg.solve(cov, shift.T)
    return (shift * solved.T).sum(-1).sqrt()


def bounds(reward: Point, widths: Point, scale: float) -> tuple[Point, Point]:
    """The lower and the upper confidence bound, r ∓ scale · width."""
    return reward - scale * widths, reward + scale * widths


def optimism_limit(wins: Wins, calibration: Reward) -> float:
    """α_crit: below it tabular optimistic VPO has a minimiser, above it falls for ever.

        α_crit = min over sets S of  losses(S) / (1 − π_cal(S))

    where losses(S) counts how often an outsider beat a member. It is zero as soon as one response
    was never beaten. Derived for the objective of Cen et al. 2024 (arXiv:2405.19320).
    """
    everyone = range(len(wins))
    limits = []
    for size in range(1, len(wins)):
        for members in combinations(everyone, size):
            outside = [i for i in everyone if i not in members]
            losses = float(wins[outside][:, list(members)].sum())
            rest = float(calibration[outside].sum())
            if rest > 0:
                limits.append(losses / rest)
    return min(limits)
