"""Value-incentivised preference optimisation."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from prefloop.batches import SampleLogps
from prefloop.bonuses._checks import at_least_zero

samples = "reference"


def vpo(
    s: SampleLogps,
    *,
    alpha: float = 0.1,
    beta: float = 0.1,
    mode: Literal["online", "offline"] = "online",
    bound: float = 5.0,
) -> Float[Tensor, " sample"]:
    """Optimism online, pessimism offline, about the value J*: ±αβ log π(y)/π₀(y), y ~ π_cal.

        online    + αβ max(Δ, −bound/β)      lowers π_cal's responses
        offline   − αβ Δ                     raises them

    Cen et al. 2024 (arXiv:2405.19320): under E_cal r = 0 the value is J* = −β E_cal Δ. The paper's
    α stands beside a *sum* over D, this one beside a mean: α = α_paper/|D|. Where a response was
    never beaten (on a language model: almost everywhere) α_crit is 0 and optimism has no minimiser.
    So a calibration response is pushed no further once its implicit reward βΔ is below −bound, in
    units of reward; `bonus_at_rest` reports the share of those. Offline with the chosen responses
    it is DPO plus a likelihood term.
    """
    at_least_zero("alpha", alpha)
    if not bound > 0:
        raise ValueError(f"bound must be positive, in units of reward, got {bound:g}")
    if mode not in ("online", "offline"):
        raise ValueError(f"mode must be online (optimism) or offline (pessimism), got {mode!r}")
    if mode == "offline":
        return -alpha * beta * s.log_ratio
    return alpha * beta * s.log_ratio.clamp(min=-bound / beta)
