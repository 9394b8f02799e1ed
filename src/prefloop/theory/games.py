"""The regularised preference game: its Nash point, how exploitable a policy is, Nash-MD.

    P_β(π, π') = E payoff(y, y') − β KL(π‖π₀) + β KL(π'‖π₀)

Munos et al. 2023 (arXiv:2312.00886), β being their τ. A payoff is P(row ≻ column), or r − r'.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.theory.closed import kl, tilt, value

Law = Float[Tensor, " response"]
Payoff = Float[Tensor, "response response"]


def nash(prior: Law, payoff: Payoff, beta: float) -> Law:
    """log π of the only fixed point of π ∝ π₀ exp(payoff·π / β), the symmetric Nash point.

    Newton in log space, from large β down: with payoff + payoffᵀ constant the Jacobian
    I − payoff (diag π − ππᵀ)/β has eigenvalues 1 + iλ and is never singular.
    """
    point, strength = prior, max(beta, 1.0)
    while True:
        point = _settle(prior, payoff, strength, point)
        if strength <= beta:
            return point.log_softmax(-1)
        strength = max(beta, strength / 2)


def exploitability(policy: Law, prior: Law, payoff: Payoff, beta: float) -> Float[Tensor, ""]:
    """What the best response wins beyond a draw: zero at the Nash point, positive elsewhere.

    β log Σ π₀ exp(payoff·π / β) + β KL(π‖π₀) − P_β(π, π)
    """
    against = payoff @ policy.exp()
    best = value(prior, against, beta) + beta * kl(policy, prior)
    return best - policy.exp() @ against


def nash_md(policy: Law, prior: Law, payoff: Payoff, beta: float, step: float) -> Law:
    """One step of Nash mirror descent: a best response to a mixture with π₀.

        m ∝ π^(1 − ηβ) π₀^(ηβ),    π⁺ ∝ m exp(η payoff·m)

    Munos et al. 2023, eq. 4 (arXiv:2312.00886). A fixed η leaves a bias; η_t = 2/(β(t+2)) none.
    """
    if not 0 < step * beta <= 1:
        raise ValueError(f"step · beta must lie in (0, 1], got {step} · {beta}")
    mixture = ((1 - step * beta) * policy + step * beta * prior).log_softmax(-1)
    return tilt(mixture, payoff @ mixture.exp(), 1 / step)


def mirror_step(policy: Law, prior: Law, payoff: Payoff, eta: float, tau: float = 0.0) -> Law:
    """One step of mirror ascent against one's present self.

        π⁺ ∝ π₀^(τ/η) π^(1 − τ/η) exp(payoff·π / η)

    SPPO's target at τ = 0 (Wu et al. 2024, arXiv:2405.00675, whose η is 1/η here), INPO's at τ > 0
    (Zhang et al. 2024, arXiv:2407.00617), IPO's at τ = η. It rests at the Nash point of the game
    regularised by τ alone.
    """
    if not 0 <= tau <= eta:
        raise ValueError(f"tau must lie in [0, eta], got {tau} with eta = {eta}")
    share = tau / eta
    mixture = (share * prior + (1 - share) * policy).log_softmax(-1)
    return tilt(mixture, payoff @ policy.exp(), eta)


def cycle(a: float, b: float, c: float) -> Payoff:
    """Rock, paper, scissors: P(0 ≻ 1) = ½ + a, P(2 ≻ 0) = ½ + b, P(1 ≻ 2) = ½ + c.

    Without regularisation its Nash point is (c, b, a) / (a + b + c).
    """
    edge = torch.tensor([[0, a, -b], [-a, 0, c], [b, -c, 0]], dtype=torch.float64)
    return 0.5 + edge


def _settle(prior: Law, payoff: Payoff, beta: float, point: Tensor, steps: int = 100) -> Tensor:
    """Newton on θ = log π₀ + payoff·softmax(θ)/β, halving a step that does not help."""

    def miss(theta: Tensor) -> Tensor:
        return theta - prior - payoff @ theta.softmax(-1) / beta

    error = miss(point)
    for _ in range(steps):
        p = point.softmax(-1)
        slope = torch.eye(len(p), dtype=p.dtype) - payoff @ (p.diag() - torch.outer(p, p)) / beta
        step, rate = torch.linalg.solve(slope, error), 1.0
        while rate > 1e-6 and miss(point - rate * step).norm() >= error.norm():
            rate /= 2
        if rate <= 1e-6:
            break
        point = point - rate * step
        error = miss(point)
    return point
