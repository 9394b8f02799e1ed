"""Closed forms of KL-regularised alignment over responses that can be enumerated.

Laws are log-probabilities over the last dimension; β is the KL weight.
"""

import torch
from jaxtyping import Float
from torch import Tensor

Law = Float[Tensor, "*#prompt response"]
Each = Float[Tensor, "*#prompt"]


def tilt(prior: Law, reward: Law, beta: float) -> Law:
    """log π* of the maximiser of E[r] − β KL(π‖π₀): π* = π₀ exp(r/β) / Z.

    Rafailov et al. 2023, eq. 4 (arXiv:2305.18290). Sharpens to the best response as β → 0.
    """
    return (prior + reward / beta).log_softmax(-1)


def value(prior: Law, reward: Law, beta: float) -> Each:
    """J* = β log Z = β log E_π₀ exp(r/β), what the best policy attains (arXiv:2312.11456)."""
    return beta * (prior + reward / beta).logsumexp(-1)


def kl(p: Law, q: Law) -> Each:
    """KL(p‖q) = Σ p log(p/q) in nats; a response that p never gives counts zero."""
    return torch.where(p == -torch.inf, 0.0, p.exp() * (p - q)).sum(-1)


def objective(policy: Law, prior: Law, reward: Law, beta: float) -> Each:
    """J(π) = E_π r − β KL(π‖π₀)."""
    return (policy.exp() * reward).sum(-1) - beta * kl(policy, prior)


def gap(policy: Law, prior: Law, reward: Law, beta: float) -> Each:
    """J* − J(π) = β KL(π‖π*): the whole sub-optimality is one KL (arXiv:2312.11456)."""
    return beta * kl(policy, tilt(prior, reward, beta))


def calibrated_value(prior: Law, reward: Law, beta: float, calibration: Law) -> Each:
    """E_c r − β E_c log(π_r/π₀), which is J* for every calibration law c.

    With E_c r = 0 the value is a log-likelihood of c: what VPO trains (arXiv:2405.19320).
    """
    ratio = tilt(prior, reward, beta) - prior
    return (calibration.exp() * (reward - beta * ratio)).sum(-1)


def objective_slope(policy: Law, prior: Law, reward: Law, beta: float) -> Law:
    """∂J/∂logit_y = π(y) (A_y − E_π A) with A = r − β log(π/π₀)."""
    advantage = reward - beta * (policy - prior)
    mean = (policy.exp() * advantage).sum(-1, keepdim=True)
    return policy.exp() * (advantage - mean)


def ipo_optimum(
    prior: Law, preference: Float[Tensor, "*prompt response response"], opponent: Law, beta: float
) -> Law:
    """log π of IPO's minimiser: π ∝ π₀ exp(p(y ≻ μ)/β), μ being the law of the opponent.

    Azar et al. 2023 (arXiv:2310.12036), where β is τ.
    """
    wins = (preference @ opponent.exp().unsqueeze(-1)).squeeze(-1)
    return tilt(prior, wins, beta)


def best_of(prior: Law, reward: Law, n: int) -> Float[Tensor, "*prompt response"]:
    """Probabilities of the best of n draws: F(y)ⁿ − F(y⁻)ⁿ, F in order of (distinct) reward.

    Beirami et al. 2024 (arXiv:2401.01879). The worst of n is the best by −r.
    """
    order = reward.argsort(-1)
    below = prior.exp().gather(-1, order).cumsum(-1) ** n
    first = torch.zeros_like(below[..., :1])
    steps = below.diff(dim=-1, prepend=first)
    return torch.zeros_like(steps).scatter(-1, order, steps)


def worst_of(prior: Law, reward: Law, n: int) -> Float[Tensor, "*prompt response"]:
    """Probabilities of the worst of n draws: G(y⁻)ⁿ − G(y)ⁿ with G = 1 − F."""
    return best_of(prior, -reward, n)


def best_and_worst_of(
    prior: Float[Tensor, " response"], reward: Float[Tensor, " response"], n: int
) -> Float[Tensor, "response response"]:
    """P(best = row, worst = column) of n draws, by inclusion and exclusion.

        A(i, j) − A(i−1, j) − A(i, j+1) + A(i−1, j+1),   A(i, j) = (F_i − F_{j−1})ⁿ

    in order of reward: the law of the pairs that `explore/best_worst` asks about.
    """
    order = reward.argsort()
    below = torch.cat([torch.zeros(1, dtype=prior.dtype), prior.exp()[order].cumsum(0)])
    inside = (below[1:, None] - below[None, :-1]).clamp(min=0) ** n  # all n draws in [j, i]
    padded = torch.nn.functional.pad(inside, (0, 1, 1, 0))
    joint = padded[1:, :-1] - padded[:-1, :-1] - padded[1:, 1:] + padded[:-1, 1:]
    rank = order.argsort()
    return joint[rank][:, rank]


def accepted(p: Law, q: Law) -> Each:
    """1/max(q/p): the share of draws of p that exact rejection sampling of q keeps.

    For q = π₀ exp(r/β)/Z and p = π₀ it is Z/e^(max r/β): rare already at moderate KL.
    """
    return torch.exp(-(q - p).amax(-1))


def kl_estimators(log_ratio: Float[Tensor, "*shape"]) -> dict[str, Float[Tensor, "*shape"]]:
    """Schulman's k1 = ℓ, k2 = ℓ²/2, k3 = e^−ℓ − 1 + ℓ of ℓ = log(π/π₀) at a sample of π.

    As numbers k1 and k3 are unbiased for KL(π‖π₀). As loss terms, differentiated at fixed samples,
    k1 gives 0, k2 gives ∇KL(π‖π₀) and k3 gives ∇KL(π₀‖π).
    """
    k3 = torch.expm1(-log_ratio) + log_ratio
    return {"k1": log_ratio, "k2": log_ratio**2 / 2, "k3": k3}
