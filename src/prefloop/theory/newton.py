"""Rests of many small problems at once, from formulas for their slopes and curvatures."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.theory.fit import NoMinimum

Each = Float[Tensor, "*prompt"]
Point = Float[Tensor, "*prompt response"]
Square = Float[Tensor, "*prompt response response"]
Local = tuple[Each, Point, Square]
"""value, slope and curvature at a point"""
Term = Callable[[Point], Local]


def together(*terms: Term) -> Term:
    """The sum of the terms."""

    def summed(point: Point) -> Local:
        value, slope, curvature = zip(*(term(point) for term in terms), strict=True)
        return sum(value[1:], value[0]), sum(slope[1:], slope[0]), sum(curvature[1:], curvature[0])

    return summed


def settle(term: Term, start: Point, *, tolerance: float = 1e-11, steps: int = 200) -> Point:
    """Where each prompt's slope vanishes, downhill from `start`.

    Newton's step by the curvature's absolute eigenvalues, so that it descends where the function
    is not convex, halved until the value falls. NoMinimum where the slope does not vanish.
    """
    point, (value, slope, curvature) = start, term(start)
    for _ in range(steps):
        if float(slope.abs().max()) <= tolerance:
            break
        step = _step(slope, curvature)
        moved = _downhill(term, point, value, step)
        if torch.equal(moved, point):
            break
        point = moved
        value, slope, curvature = term(point)
    left = float((slope.abs().amax(-1) / (1 + value.abs())).max())
    if not left <= 1e3 * tolerance:
        raise NoMinimum(
            f"no rest was found in {steps} steps, slope {left:.1e}; the objective may have no "
            "minimiser: set ridge above 0"
        )
    return point


def _step(slope: Point, curvature: Square) -> Point:
    """H⁻¹ slope where that is short, else up to 2 along each eigenvector by its |eigenvalue|."""
    lower, failed = torch.linalg.cholesky_ex(curvature)
    if not bool(failed.any()):
        plain = torch.cholesky_solve(slope.unsqueeze(-1), lower).squeeze(-1)
        if float(plain.abs().max()) <= 2:
            return plain
    values, vectors = torch.linalg.eigh(curvature)
    size = values.abs().clamp(min=1e-12)
    along = (vectors.mT @ slope.unsqueeze(-1)).squeeze(-1)
    found: Tensor = (vectors @ (along / size).clamp(-2, 2).unsqueeze(-1)).squeeze(-1)
    return found


def _downhill(term: Term, point: Point, value: Each, step: Point) -> Point:
    """The point less the longest halved step that does not raise the value, by prompt."""
    rate = torch.ones_like(value)
    for _ in range(40):
        moved = point - rate.unsqueeze(-1) * step
        up = term(moved)[0] > value + 1e-13 * (1 + value.abs())
        if not bool(up.any()):
            return moved
        rate = torch.where(up, rate / 2, rate)
    return torch.where(up.unsqueeze(-1), point, moved)
