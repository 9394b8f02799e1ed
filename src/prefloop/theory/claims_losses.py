"""Claims about what the preference losses of this package minimise."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from prefloop.batches import PairLogps
from prefloop.losses.cdpo import cdpo
from prefloop.losses.dpo import dpo
from prefloop.losses.hinge import hinge
from prefloop.losses.ipo import ipo
from prefloop.losses.margin_dpo import margin_dpo
from prefloop.losses.robust import robust
from prefloop.losses.slic import slic
from prefloop.theory import closed, comparisons
from prefloop.theory.claim import claim, dice, farthest, law, normal, preferences, win_counts
from prefloop.theory.fit import NoMinimum, fit, minimise
from prefloop.theory.world import World, bradley_terry_world, preference_world

Loss = Callable[[PairLogps], Tensor]
DPO, IPO, GSHF = "arXiv:2305.18290", "arXiv:2310.12036", "arXiv:2312.11456"


def margins(h: Tensor, p: Tensor) -> PairLogps:
    """Pairs under a uniform reference, `a` being h nats likelier than `b`."""
    zero, one = torch.zeros_like(h), torch.ones_like(h)
    return PairLogps(a=h, b=zero, ref_a=zero, ref_b=zero, p=p, len_a=one, len_b=one)


def resting_margin(loss: Loss, p: Tensor) -> Tensor:
    """The margin at which the loss of one pair has its minimum."""
    return minimise(lambda h: loss(margins(h, p)).sum(), torch.zeros_like(p))


def counted(wins: Tensor, prior: Tensor) -> tuple[World, Tensor]:
    """A world whose P are the observed win rates, and how often each pair was compared."""
    total = wins + wins.T
    rate = torch.where(total > 0, wins / total.clamp(min=1), 0.5)
    return preference_world(prior[None], rate[None]), total[None]


@claim(f"{DPO}, eq. 4 and 7", tolerance=1e-8)
def dpo_on_all_pairs_gives_the_rlhf_optimum() -> float:
    """With Bradley–Terry labels DPO's only minimiser is π₀ exp(r/β)/Z, prompt by prompt."""
    g, worst = dice(20), 0.0
    for beta in (0.2, 0.5, 2.0):
        world = bradley_terry_world(normal(g, 3, 4), normal(g, 3, 4))
        found = fit(world, partial(dpo, beta=beta))
        worst = max(worst, farthest(found, closed.tilt(world.prior, world.known_reward, beta)))
    return worst


@claim(f"{DPO}", tolerance=1e-9)
def dpo_on_data_tilts_by_the_maximum_likelihood_reward() -> float:
    """On finitely many labels DPO's minimiser is π₀ exp(r_MLE/β)/Z."""
    g, worst = dice(21), 0.0
    for beta in (0.1, 0.5):
        wins, prior = win_counts(g, 5), law(g, 5)
        world, weights = counted(wins, prior)
        found = fit(world, partial(dpo, beta=beta), weights=weights)[0]
        expected = closed.tilt(prior, comparisons.bradley_terry(wins), beta)
        worst = max(worst, farthest(found.exp(), expected.exp()))
    return worst


@claim(f"{DPO}, eq. 7", tolerance=1e-12)
def dpo_sees_only_differences() -> float:
    """Adding a constant a prompt to the implicit reward changes nothing in DPO."""
    g = dice(22)
    world = bradley_terry_world(normal(g, 2, 4), normal(g, 2, 4))
    moved = normal(g, 2, 4)
    before, after = world.pairs(moved), world.pairs(moved + normal(g, 2, 1))
    return farthest(dpo(before, beta=0.5), dpo(after, beta=0.5))


@claim(DPO, tolerance=1e-12)
def unlinked_responses_leave_dpo_undecided() -> float:
    """Where comparisons link no two groups, policies far apart (TV > 0.1) have one DPO loss."""
    g = dice(23)
    world = bradley_terry_world(normal(g, 1, 4), normal(g, 1, 4))
    linked = torch.zeros(1, 4, 4, dtype=torch.float64)
    linked[0, 0, 1] = linked[0, 2, 3] = 1.0
    found = fit(world, partial(dpo, beta=0.5), weights=linked)
    other = (found + torch.tensor([1.0, 1.0, -1.0, -1.0])).log_softmax(-1)
    one, two = (linked.flatten() * dpo(world.pairs(p), beta=0.5) for p in (found, other))
    distance = (found.exp() - other.exp()).abs().sum() / 2
    return farthest(one.sum(), two.sum()) if distance > 0.1 else float("inf")


@claim(f"{IPO}, eq. 17", tolerance=1e-9)
def ipo_tilts_by_the_win_rate_against_the_data_law() -> float:
    """IPO's minimiser is π₀ exp(p(y ≻ μ)/β)/Z, pairs drawn from μ × μ, cycles allowed."""
    g, worst = dice(24), 0.0
    for beta in (0.1, 0.25, 1.0):
        prior, mu, p = law(g, 5), law(g, 5), preferences(g, 5)
        weights = torch.outer(mu.exp(), mu.exp())[None]
        world = preference_world(prior[None], p[None])
        found = fit(world, partial(ipo, beta=beta), weights=weights)[0]
        worst = max(worst, farthest(found.exp(), closed.ipo_optimum(prior, p, mu, beta).exp()))
    return worst


@claim(f"{IPO}, eq. 17", tolerance=1e-9)
def certain_labels_leave_ipo_finite() -> float:
    """When a always beats b, IPO stops at a margin of 1/(2β)."""
    betas = torch.tensor([0.1, 0.25, 1.0], dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    stops = [resting_margin(partial(ipo, beta=beta), one) for beta in betas.tolist()]
    return farthest(torch.cat(stops), 1 / (2 * betas))


@claim(IPO, tolerance=0.0)
def certain_labels_leave_dpo_without_a_minimum() -> float:
    """When a always beats b, DPO's loss falls for ever: fitting it must fail."""
    one = torch.ones(1, dtype=torch.float64)
    try:
        resting_margin(partial(dpo, beta=0.1), one)
    except NoMinimum:
        return 0.0
    return 1.0


@claim("arXiv:2309.06657, hinge", tolerance=1e-12)
def hinge_learns_which_and_not_by_how_much() -> float:
    """The hinge rests at βh = 1 whether a wins 51 or 99 times in a hundred."""
    h = torch.linspace(-30, 30, 601, dtype=torch.float64)
    at = torch.full((1,), 10.0, dtype=torch.float64)
    excess = [
        hinge(margins(at, torch.full_like(at, p)), beta=0.1)
        - hinge(margins(h, torch.full_like(h, p)), beta=0.1).min()
        for p in (0.51, 0.7, 0.99)
    ]
    return float(torch.cat(excess).max())


@claim("arXiv:2305.10425", tolerance=1e-12)
def slic_without_its_target_is_the_hinge_without_a_reference() -> float:
    """slic(δ = 1/β, λ = 0) is hinge(β)/β under a uniform reference."""
    h = torch.linspace(-30, 30, 601, dtype=torch.float64)
    pairs = margins(h, torch.linspace(0, 1, 601, dtype=torch.float64))
    return farthest(slic(pairs, delta=10.0, lam=0.0), hinge(pairs, beta=0.1) / 0.1)


@claim(f"{GSHF}, pessimistic DPO", tolerance=1e-9)
def a_margin_of_widths_subtracts_them_from_the_reward() -> float:
    """DPO on βh + Γ_a − Γ_b has the minimiser π₀ exp((r_MLE − Γ)/β)/Z; −Γ would be optimism."""
    g, beta = dice(25), 0.5
    wins, prior, bonus = win_counts(g, 5), law(g, 5), normal(g, 5).abs()
    world, weights = counted(wins, prior)
    width = {"width_a": bonus.repeat_interleave(5), "width_b": bonus.repeat(5)}
    loss = lambda y: margin_dpo(replace(y, **width), beta=beta)
    found = fit(world, loss, weights=weights)[0]
    lower = comparisons.bradley_terry(wins) - bonus
    return farthest(found.exp(), closed.tilt(prior, lower, beta).exp())


@claim(f"{DPO}, label smoothing", tolerance=1e-9)
def smoothed_labels_leave_dpo_finite() -> float:
    """When a always beats b, cDPO rests at βh = log((1−ε)/ε): the odds of its smoothed label."""
    rates, one = torch.tensor([0.01, 0.1, 0.3]).double(), torch.ones(1).double()
    stops = [
        resting_margin(partial(cdpo, beta=0.5, label_smoothing=e), one) for e in rates.tolist()
    ]
    return farthest(torch.cat(stops), ((1 - rates) / rates).log() / 0.5)


@claim("arXiv:2403.00409", tolerance=1e-12)
def the_robust_loss_undoes_flips_on_average() -> float:
    """E over labels flipped at rate ε of robust(ε) is DPO on the clean ones, at every margin."""
    h, worst = torch.linspace(-30, 30, 61, dtype=torch.float64), 0.0
    won, lost = margins(h, torch.ones_like(h)), margins(h, torch.zeros_like(h))
    for e in (0.05, 0.2, 0.45):
        loss = partial(robust, beta=0.1, label_smoothing=e)
        worst = max(worst, farthest((1 - e) * loss(won) + e * loss(lost), dpo(won, beta=0.1)))
    return worst
