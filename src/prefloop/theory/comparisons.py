"""What finitely many comparisons determine: the Bradley–Terry fit, its widths, its limits.

`wins[i, j]` counts how often i beat j.
"""

from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.theory.fit import NoMinimum

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


def loss(wins: Wins, reward: Reward, *, ridge: float = 0.0) -> Float[Tensor, ""]:
    """−Σ W_ij log σ(r_i − r_j) + ridge/2 ‖r‖², summed over all comparisons."""
    logits = reward[:, None] - reward[None, :]
    fit = torch.nn.functional.logsigmoid(logits)
    return -(wins * fit).sum() + ridge / 2 * (reward**2).sum()


def curvature(
    wins: Wins, reward: Reward, *, ridge: float = 0.0
) -> Float[Tensor, "response response"]:
    """Hessian of the loss: the Laplacian of the comparison graph, weighted by σσ̄.

    Its inverse is the covariance of the Laplace posterior when the ridge is positive.
    """
    p = torch.sigmoid(reward[:, None] - reward[None, :])
    weight = (wins + wins.T) * p * (1 - p)
    return torch.diag(weight.sum(1) + ridge) - weight


def bradley_terry(
    wins: Wins, *, ridge: float = 0.0, start: Reward | None = None, steps: int = 100
) -> Reward:
    """The reward that makes the wins likeliest, summing to zero, by damped Newton.

    At it expected wins equal wins. Bradley and Terry 1952. NoMinimum where it is infinite; a
    positive ridge (the variance of a normal prior, inverted) makes it always finite.
    """
    if ridge == 0 and not has_fit(wins):
        raise NoMinimum(
            "no finite Bradley–Terry fit: the wins do not link every response to every other; "
            "compare more, or set ridge above 0"
        )
    reward: Tensor = torch.zeros(len(wins), dtype=torch.float64) if start is None else start
    gauge = torch.ones_like(wins) if ridge == 0 else torch.zeros_like(wins)
    for _ in range(steps):
        p = torch.sigmoid(reward[:, None] - reward[None, :])
        both = wins + wins.T
        slope = (both * p).sum(1) - wins.sum(1) + ridge * reward
        weight = both * p * (1 - p)
        matrix = torch.diag(weight.sum(1) + ridge) - weight + gauge
        step: Tensor = torch.linalg.solve(matrix, slope)
        reward = reward - step / max(1.0, float(step.abs().max()) / 2)
        if float(slope.abs().max()) <= 1e-13 * (1 + float(wins.sum())):
            return reward - reward.mean()
    raise NoMinimum(f"Newton found no rest in {steps} steps; set ridge above {ridge:g}")


def covariance(
    differences: Float[Tensor, "pair feature"], *, ridge: float = 1.0
) -> Float[Tensor, "feature feature"]:
    """Σ = λI + Σ (φ(a) − φ(b))(φ(a) − φ(b))ᵀ over the comparisons made (arXiv:2312.11456)."""
    eye = torch.eye(differences.shape[1], dtype=differences.dtype)
    return ridge * eye + differences.T @ differences


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


def bounds(reward: Reward, widths: Reward, scale: float) -> tuple[Reward, Reward]:
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
