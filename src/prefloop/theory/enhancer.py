"""GSHF's second agent: the policy least comparable with the first that its KL still pays for.

    π² = argmax Γ(π')  over  η KL(π'‖π¹) ≤ Γ(π'),    Γ(π') = scale · ‖E_π' φ − E_π¹ φ‖ in Σ⁻¹

Xiong et al. 2023 (arXiv:2312.11456). Its optimum is π² ∝ π¹ exp(c ⟨u, φ⟩), u = Σ⁻¹(E_π² φ − E_π¹ φ)
up to length, and the constraint is tight unless one response alone is within it. Features come
scaled, as an exploration rule gets them: Euclidean distances are norms in Σ⁻¹.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.theory.closed import kl

Law = Float[Tensor, "... response"]
Features = Float[Tensor, "... response feature"]
Each = Float[Tensor, "..."]


def scaled(features: Features, cov: Float[Tensor, "... feature feature"]) -> Features:
    """φ L⁻ᵀ with Σ = LLᵀ: the distance of two rows is the width of their difference."""
    lower = torch.linalg.cholesky(cov)
    found: Tensor = torch.linalg.solve_triangular(lower, features.mT, upper=False)
    return found.mT


def width(first: Law, second: Law, features: Features, scale: float) -> Each:
    """Γ: how uncertain the difference of the two policies' rewards is."""
    shift = _shift(first, second, features)
    return scale * (shift**2).sum(-1).sqrt()


def enhancer(first: Law, features: Features, *, eta: float, scale: float, turns: int = 30) -> Law:
    """log π², the widest of the rests reached from each response's direction and its reverse.

    Each turn tilts along the direction as far as the constraint allows, and faces where that led.
    """
    centred = features - (first.exp().unsqueeze(-2) @ features)
    direction = torch.cat([centred, -centred], dim=-2)
    one, phi = first.unsqueeze(-2), features.unsqueeze(-3)
    law = one.expand(*direction.shape[:-1], first.shape[-1])
    for _ in range(turns):
        ahead = direction @ features.mT
        law = _farthest(one, ahead / ahead.abs().amax(-1, keepdim=True), phi, eta, scale)
        direction = _shift(one, law, phi)
    widest = width(one, law, phi, scale).argmax(-1)
    chosen = widest[..., None, None].expand(*widest.shape, 1, law.shape[-1])
    return law.gather(-2, chosen).squeeze(-2)


def _farthest(first: Law, ahead: Law, features: Features, eta: float, scale: float) -> Law:
    """The longest tilt π¹ exp(c · ahead) within the constraint, by bisection on log c."""
    low = torch.full_like(ahead[..., :1], -12.0)
    high = -low

    def tilted(c: Tensor) -> Law:
        return (first + c.exp() * ahead).log_softmax(-1)

    for _ in range(45):
        middle = (low + high) / 2
        law = tilted(middle)
        dear = (eta * kl(law, first) > width(first, law, features, scale)).unsqueeze(-1)
        low, high = torch.where(dear, low, middle), torch.where(dear, middle, high)
    return tilted(low)


def _shift(first: Law, second: Law, features: Features) -> Float[Tensor, "... feature"]:
    moved = second.exp() - first.exp()
    return (moved.unsqueeze(-2) @ features).squeeze(-2)
