"""Minimisers to machine precision: L-BFGS, then Newton steps down to a tiny gradient.

Not Adam: it rescales a tiny gradient to a full step, and so moves whatever no data hold.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.batches import PairLogps
from prefloop.theory.world import World

Objective = Callable[[Tensor], Tensor]


class NoMinimum(ValueError):
    """The objective falls for ever, or L-BFGS and Newton did not reach a rest."""


def minimise(
    objective: Objective, start: Float[Tensor, "*shape"], *, tolerance: float = 1e-10
) -> Float[Tensor, "*shape"]:
    """Where the gradient of a smooth scalar function vanishes, from `start` downhill.

    NoMinimum when the gradient stays above `tolerance`, or when Newton's steps still walk after
    L-BFGS has come to rest: down a tail that falls like e^−x they go on for ever.
    """
    near = _lbfgs(objective, start.detach().double())
    found = _newton(objective, near)
    slope = float(_gradient(objective, found).abs().max())
    walked = float((found - near).abs().max())
    if not (slope <= tolerance and walked <= 1.0):
        raise NoMinimum(
            f"no rest was found: gradient {slope:.1e} after Newton walked {walked:.1e}; the "
            "objective may have no minimiser, as Bradley–Terry has none without a cycle of wins"
        )
    return found


def fit(
    world: World,
    loss: Callable[[PairLogps], Float[Tensor, " pair"]],
    *,
    weights: Float[Tensor, "prompt response response"] | None = None,
    tolerance: float = 1e-10,
) -> Float[Tensor, "prompt response"]:
    """log π of the tabular policy that minimises the loss over the exact population.

    Every ordered pair counts as often as `weights` says (default: equally), with the world's own p.
    """
    each = torch.ones_like(world.preference) if weights is None else weights
    each = each.flatten() / each.sum()

    def objective(logits: Tensor) -> Tensor:
        return (each * loss(world.pairs(logits.log_softmax(-1)))).sum()

    return minimise(objective, world.prior, tolerance=tolerance).log_softmax(-1)


def adamw(
    objective: Objective, start: Float[Tensor, "*shape"], *, steps: int, lr: float = 0.01
) -> Float[Tensor, "*shape"]:
    """Where so many AdamW steps end, weight decay 0.01: how papers ran their bandits.

    Not a minimum: coordinates that no data hold move by `lr` a step for the tiniest bonus.
    """
    point = start.detach().clone().requires_grad_()
    optimiser = torch.optim.AdamW([point], lr=lr, weight_decay=0.01)
    for _ in range(steps):
        optimiser.zero_grad()
        objective(point).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return point.detach()


def _lbfgs(objective: Objective, start: Tensor) -> Tensor:
    point = start.clone().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [point],
        max_iter=500,
        tolerance_grad=1e-9,
        tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = objective(point)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return point.detach()


def _newton(objective: Objective, point: Tensor, steps: int = 40) -> Tensor:
    """Full Newton steps while they shrink the gradient; directions without curvature stay put."""
    slope = _gradient(objective, point)
    for _ in range(steps):
        curvature = torch.autograd.functional.hessian(objective, point)  # type: ignore[no-untyped-call]
        matrix = curvature.reshape(point.numel(), point.numel())
        step = torch.linalg.pinv(matrix, rtol=1e-13, hermitian=True) @ slope.flatten()
        moved = point - step.reshape(point.shape)
        after = _gradient(objective, moved)
        if not after.abs().max() < slope.abs().max():
            break
        point, slope = moved, after
    return point


def _gradient(objective: Objective, at: Tensor) -> Tensor:
    point = at.detach().requires_grad_()
    (slope,) = torch.autograd.grad(objective(point), point)
    return slope
