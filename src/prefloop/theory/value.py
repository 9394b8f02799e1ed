"""Value-biased fits: Bradley–Terry fits that hope for a high value J*, or fear it.

    L(r) = −Σ W_ij log σ(r_i − r_j) + ridge/2 ‖r‖² − bonus · J*(r),    E_cal r = 0

bonus = +α is optimism, what VPO does online, XPO and SELM with the reference as calibration law;
bonus = −α is pessimism, VPO offline. J* = −β E_cal log π_r/π₀ under calibration, so on the policy
it is DPO + bonus · β E_cal log π/π₀. Cen et al. 2024 (arXiv:2405.19320), their α beside a sum over
the data; Xie et al. 2024 (arXiv:2405.21046), whose α is β times it. Laws are log-probabilities.
"""

import torch
from torch import Tensor

from prefloop.theory import closed, comparisons
from prefloop.theory.fit import NoMinimum
from prefloop.theory.newton import Each, Local, Point, Square, Term, settle, together


def biased(prior: Point, calibration: Point, *, beta: float, bonus: float) -> Term:
    """−bonus · J* of the calibrated reward: slope −bonus (π_r − π_cal), curvature −bonus Cov/β."""
    goal = calibration.exp()

    def term(reward: Point) -> Local:
        level = (goal * reward).sum(-1)
        law = closed.tilt(prior, reward, beta).exp()
        spread = torch.diag_embed(law) - law.unsqueeze(-1) * law.unsqueeze(-2)
        value = closed.value(prior, reward, beta) - level
        return -bonus * value, -bonus * (law - goal), -bonus / beta * spread

    return term


def loss(
    wins: Square, prior: Point, calibration: Point, reward: Point, *, beta: float, bonus: float
) -> Each:
    """The objective without a ridge, at any reward: it is calibrated here."""
    terms = together(
        comparisons.likelihood(wins), biased(prior, calibration, beta=beta, bonus=bonus)
    )
    return terms(reward)[0]


def fit(
    wins: Square,
    prior: Point,
    calibration: Point,
    *,
    beta: float,
    bonus: float,
    ridge: float = 0.0,
    start: Point | None = None,
) -> Point:
    """The reward that minimises L, summing to zero.

    Without a ridge NoMinimum where there is none: for optimism from α_crit on. With a ridge there
    always is one, and only one while bonus < 2β · ridge: beyond, optimism is not convex, and it is
    the one downhill from `start`.
    """
    if ridge == 0:
        must_exist(wins, calibration, bonus)
    terms = together(
        comparisons.likelihood(wins, ridge=ridge),
        biased(prior, calibration, beta=beta, bonus=bonus),
    )
    found = settle(terms, torch.zeros_like(prior) if start is None else start)
    return found - found.mean(-1, keepdim=True)


def must_exist(wins: Square, calibration: Point, bonus: float) -> None:
    """NoMinimum where the objective without a ridge falls for ever."""
    size = wins.shape[-1]
    for mine, law in zip(wins.reshape(-1, size, size), calibration.reshape(-1, size), strict=True):
        limit = comparisons.optimism_limit(mine, law.exp()) if bonus > 0 else float("inf")
        if bonus >= limit:
            raise NoMinimum(
                f"alpha must be below alpha_crit = {limit:.6g} of these comparisons, got {bonus:g}:"
                " from there on optimism has no minimiser; lower alpha, compare more, or set ridge "
                "above 0"
            )
        everywhere = bonus < 0 and bool((law > -torch.inf).all())
        if not everywhere and not comparisons.has_fit(mine):
            raise NoMinimum(
                f"alpha = {bonus:g} and a calibration law over "
                f"{int((law > -torch.inf).sum())} of {size} responses leave the fit without a "
                "minimiser: the wins do not link every response to every other; set ridge above 0"
            )


def chosen(wins: Square, prior: Point) -> Point:
    """log of the law of the winners so far; the prior while there are none."""
    won = wins.sum(-1)
    total = won.sum(-1, keepdim=True)
    return torch.where(total > 0, (won / total.clamp(min=1e-300)).log(), prior)


def pseudo_wins(
    wins: Square, prior: Point, calibration: Point, reward: Point, *, beta: float, bonus: float
) -> Tensor:
    """Wins + bonus (π_r − π_cal): what the expected wins are at a rest of L without a ridge."""
    law = closed.tilt(prior, reward, beta).exp()
    return wins.sum(-1) + bonus * (law - calibration.exp())
