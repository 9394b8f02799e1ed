"""Claims about bonuses on samples: which responses VPO, SELM, XPO and COPO raise."""

from functools import partial

import torch
from torch import Tensor

from prefloop.batches import SampleLogps
from prefloop.bonuses.copo import copo
from prefloop.bonuses.selm import selm
from prefloop.bonuses.vpo import vpo
from prefloop.bonuses.xpo import xpo
from prefloop.theory import counts, value
from prefloop.theory.claim import claim, dice, farthest, law, normal
from prefloop.types import Source

VPO, SELM, XPO = "arXiv:2405.19320", "arXiv:2405.19332", "arXiv:2405.21046"
COPO = "arXiv:2501.12735"


def samples(policy: Tensor, prior: Tensor, **known: Tensor) -> SampleLogps:
    """Every response once, as the argument of a bonus."""
    one = torch.ones_like(prior)
    reference: Source = "reference"
    source = tuple(reference for _ in prior)
    return SampleLogps(y=policy, ref=prior, length=one, source=source, **known)


@claim(VPO, tolerance=1e-12)
def the_bonus_on_samples_is_the_value() -> float:
    """The mean of `vpo` over π_cal is −αJ* online, +αJ* offline, r = β log π/π₀ calibrated."""
    g, alpha, beta = dice(44), 0.7, 0.5
    prior, policy, calibration = law(g, 5), law(g, 5), law(g, 5)
    reward = beta * (policy - prior)
    off = []
    for mode, bonus in (("online", alpha), ("offline", -alpha)):
        term = vpo(samples(policy, prior), alpha=alpha, beta=beta, mode=mode)  # type: ignore[arg-type]
        exact = value.biased(prior, calibration, beta=beta, bonus=bonus)(reward)[0]
        off.append(farthest(calibration.exp() @ term, exact))
    return max(off)


@claim(f"{SELM}, eq. 4.2; {XPO}, algorithm 1", tolerance=1e-12)
def selm_and_xpo_are_online_vpo_about_the_reference() -> float:
    """The same gradient at π_cal = π_ref: α_SELM = α_VPO, α_XPO = β α_VPO."""
    g, alpha, beta = dice(45), 0.7, 0.5
    prior, logits = law(g, 5), normal(g, 5)
    terms = (
        partial(vpo, alpha=alpha, beta=beta),
        partial(selm, alpha=alpha, beta=beta),
        partial(xpo, alpha=alpha * beta),
    )
    one, *others = (
        torch.func.grad(lambda x, t=t: prior.exp() @ t(samples(x.log_softmax(0), prior)))(logits)
        for t in terms
    )
    return max(farthest(one, other) for other in others)


@claim(f"derived for {XPO}, {SELM}", tolerance=1e-12)
def at_the_reference_an_optimistic_bonus_does_not_push() -> float:
    """−∇E_ref log π = π − π_ref on the logits, hence zero where the policy starts."""
    g = dice(38)
    prior, logits = law(g, 5), normal(g, 5)
    slope = torch.func.grad(
        lambda x: -(prior.exp() @ xpo(samples(x.log_softmax(0), prior), alpha=1.0))
    )
    at_start = farthest(slope(prior), 0 * prior)
    return max(at_start, farthest(slope(logits), logits.softmax(0) - prior.exp()))


def copo_push(
    logits: Tensor, drawn: Tensor, visits: Tensor, *, law: Tensor | None = None, clip: float = 1e9
) -> Tensor:
    """Where `copo` moves the logits, on average over samples of `law` (else of who drew them)."""
    bonus = counts.bonus(visits, ridge=0.0)

    def expected(x: Tensor) -> Tensor:
        policy = x.log_softmax(0)
        s = samples(policy, drawn, drawn=drawn, novelty=bonus)
        return -((drawn if law is None else law).exp() @ copo(s, alpha=1.0, clip=clip))

    push: Tensor = torch.func.grad(expected)(logits)
    return push


@claim(f"{COPO}, importance sampling", tolerance=1e-12)
def copo_climbs_the_mean_bonus() -> float:
    """Without a clip COPO's expected push from another law's samples is ∇E_π[1/√N]."""
    g = dice(47)
    logits, drawn, visits = normal(g, 5), law(g, 5), torch.tensor([40.0, 8, 2, 1, 3]).double()
    climbs = torch.func.grad(lambda x: x.softmax(0) @ counts.bonus(visits, ridge=0.0))(logits)
    closed_form = counts.bonus_slope(logits.log_softmax(0), counts.bonus(visits, ridge=0.0))
    return max(farthest(copo_push(logits, drawn, visits), climbs), farthest(closed_form, climbs))


@claim(f"derived for {COPO}", tolerance=0.0)
def a_tight_clip_can_turn_a_push_round() -> float:
    """With the ratio clipped at 1.2 a response that ∇E_π[1/√N] lowers can be raised instead."""
    logits = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64)
    drawn = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log()
    visits = torch.tensor([40.0, 8.0, 2.0], dtype=torch.float64)
    whole, clipped = (copo_push(logits, drawn, visits, clip=clip) for clip in (1e9, 1.2))
    return max(float(whole[1]), -float(clipped[1]))


@claim(COPO, tolerance=1e-12)
def copo_raises_what_is_rarer_than_average() -> float:
    """As a round starts y is pushed by π(y)(b(y) − E_π b): up iff its bonus is above the mean."""
    g, worst = dice(48), 0.0
    for _ in range(20):
        policy, visits = law(g, 6), torch.randint(1, 99, (6,), generator=g).double()
        bonus = visits**-0.5
        expected = policy.exp() * (bonus - policy.exp() @ bonus)
        worst = max(worst, farthest(copo_push(policy, policy, visits), expected))
    return worst


@claim(f"derived for {COPO}", tolerance=0.0)
def a_greedy_sample_defeats_copo() -> float:
    """With samples COPO lowers the most visited arm; with the mode instead it raises just that."""
    policy = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64).log()
    visits = torch.tensor([70.0, 20.0, 10.0], dtype=torch.float64)
    mode = torch.tensor([0.0, -torch.inf, -torch.inf], dtype=torch.float64)
    sampled = copo_push(policy, policy, visits)
    greedy = copo_push(policy, policy, visits, law=mode)
    wrong = (sampled[0] >= 0) + (sampled[2] <= 0) + (greedy[0] <= 0) + (greedy[2] >= 0)
    return float(wrong)


@claim(f"{COPO} beside {SELM}, {XPO}", tolerance=0.0)
def copo_and_xpo_push_their_sample_opposite_ways() -> float:
    """Descent on `copo` raises the likelihood of its sample, on `xpo` and `selm` it lowers it."""
    g, wrong = dice(49), 0
    policy, prior = law(g, 5), law(g, 5)
    for bonus, sign in ((copo, -1), (xpo, 1), (selm, 1)):
        slope = torch.func.grad(
            lambda y, b=bonus: b(samples(y, prior, drawn=prior, novelty=prior.exp())).sum()
        )(policy)
        wrong += int((sign * slope <= 0).sum())
    return float(wrong)
