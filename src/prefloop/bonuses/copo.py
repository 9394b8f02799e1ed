"""Count-based online preference optimisation."""

from math import log

from jaxtyping import Float
from torch import Tensor

from prefloop.batches import SampleLogps
from prefloop.bonuses._checks import at_least_zero

samples = "policy"
needs = ("drawn", "novelty")


def copo(s: SampleLogps, *, alpha: float = 0.01, clip: float = 5.0) -> Float[Tensor, " sample"]:
    """Raise the likelihood of rarely counted responses: −α w b log π(y), y ~ the policy that drew.

        w = min(π(y)/π_drew(y), clip),   b = 1/√count(y),   both without gradients

    Bai et al. 2025 (arXiv:2501.12735). The gradient is that of α E_π[b], by importance sampling;
    at the start of a round w is 1. `xpo` and `selm` push the other way: they lower what is likely.
    y must be a sample: a greedy y is the most visited response, and is raised. The published code
    has a further factor of 0.1 on α.
    """
    at_least_zero("alpha", alpha)
    if not clip >= 1:
        raise ValueError(f"clip must be at least 1, the ratio of a fresh sample, got {clip:g}")
    if s.drawn is None or s.novelty is None:
        raise ValueError("copo needs drawn and novelty of every sample; set explore.novelty")
    ratio = (s.y.detach() - s.drawn).clamp(max=log(clip)).exp()
    return -alpha * ratio * s.novelty * s.y
