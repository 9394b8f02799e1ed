"""Generalised preference optimisation."""

from collections.abc import Callable
from typing import Literal

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from prefloop.batches import PairLogps

_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "logistic": lambda x: -logsigmoid(x),
    "hinge": lambda x: (1 - x).relu(),
    "squared": lambda x: (x - 1) ** 2,
    "exponential": lambda x: (-x.clamp(min=-50)).exp(),
    "truncated_quadratic": lambda x: (1 - x).relu() ** 2,
    "savage": lambda x: (-x).sigmoid() ** 2,
}


def gpo(
    y: PairLogps,
    *,
    f: Literal[
        "logistic", "hinge", "squared", "exponential", "truncated_quadratic", "savage"
    ] = "logistic",
    beta: float = 0.1,
) -> Float[Tensor, " pair"]:
    """A margin loss f on βh; DPO, hinge and (rescaled) IPO are its first three.

        ℓ = p f(βh) + (1−p) f(−βh),     f(x) = log(1 + e⁻ˣ), max(0, 1−x), (x−1)², e⁻ˣ,
                                               max(0, 1−x)², 1/(1 + eˣ)²

    Tang et al. 2024 (arXiv:2402.05749), in the order of the names. Near the reference
    all are f(0) + f'(0) x + ½ f''(0) x²: to compare them, take β in proportion to |f'(0)|/f''(0).
    Minimised at βh = logit(p), sign(p − ½), 2p − 1, ½ logit(p), 2p − 1 and logit(p). Savage gives
    up on badly misordered pairs; the exponential is held at e⁵⁰, flat below x = −50.
    """
    if f not in _FUNCTIONS:
        raise ValueError(f"f must be one of {', '.join(_FUNCTIONS)}, got {f!r}")
    h = beta * y.margin
    return y.p * _FUNCTIONS[f](h) + (1 - y.p) * _FUNCTIONS[f](-h)
