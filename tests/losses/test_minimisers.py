"""What the papers prove about the minimisers, in worlds of four responses."""

from math import log

import pytest
import torch

from prefloop.losses.dpo import dpo
from prefloop.losses.hinge import hinge
from prefloop.losses.ipo import ipo
from prefloop.losses.slic import slic
from worlds import Bandit, margins, tilt

REWARD = (0.2, 1.0, -0.5, 0.7)
PRIOR = (0.4, 0.3, 0.2, 0.1)
CYCLE = ((0.5, 0.7, 0.2, 0.6), (0.3, 0.5, 0.8, 0.55), (0.8, 0.2, 0.5, 0.4), (0.4, 0.45, 0.6, 0.5))


@pytest.mark.parametrize("beta", [0.1, 0.5, 1.0, 3.0])
def test_dpo_recovers_the_kl_regularised_optimum(beta):
    """arXiv:2305.18290, eq. 4: argmax E[r] − β KL(π‖π_ref) is π_ref · exp(r/β) / Z."""
    prior, reward = torch.tensor(PRIOR), torch.tensor(REWARD)
    found = Bandit.bradley_terry(prior, reward).fit(lambda y: dpo(y, beta=beta))
    torch.testing.assert_close(found, tilt(prior, reward, beta), rtol=1e-6, atol=1e-8)


def test_dpo_recovers_the_gibbs_policy_of_the_guidebook():
    found = Bandit.bradley_terry(torch.tensor(PRIOR), torch.tensor(REWARD)).fit(
        lambda y: dpo(y, beta=0.5)
    )
    expected = torch.tensor([0.18123680, 0.67325381, 0.02234622, 0.12316317])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)


def test_ipo_tilts_by_the_win_rate_even_where_preferences_are_cyclic():
    """arXiv:2310.12036: the minimiser is π_ref · exp(p(y ≻ μ)/β) / Z, here for a uniform μ."""
    world = Bandit(torch.tensor(PRIOR), torch.tensor(CYCLE))
    found = world.fit(lambda y: ipo(y, beta=0.2))
    torch.testing.assert_close(found, tilt(world.prior, world.preference.mean(1), 0.2))
    expected = torch.tensor([0.38748059, 0.35054311, 0.17097521, 0.09100108])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("beta", [0.1, 0.25, 2.0])
@pytest.mark.parametrize("p", [0.0, 0.3, 0.5, 0.7, 1.0])
def test_the_margin_that_minimises_ipo_is_p_minus_a_half_over_beta(beta, p):
    at = (p - 0.5) / beta
    left, best, right = ipo(margins([at - 1e-3, at, at + 1e-3], [p] * 3), beta=beta)
    assert best < left and best < right


@pytest.mark.parametrize("p", [0.51, 0.7, 0.99])
def test_hinge_learns_which_is_better_and_not_by_how_much(p):
    grid = torch.linspace(-30, 30, 601)
    values = hinge(margins(grid, torch.full_like(grid, p)), beta=0.1)
    assert grid[values.argmin()] == pytest.approx(10.0)


def test_a_tie_leaves_the_hinge_flat_up_to_its_corners():
    grid = torch.linspace(-10, 10, 101)
    values = hinge(margins(grid, torch.full_like(grid, 0.5)), beta=0.1)
    torch.testing.assert_close(values, torch.ones_like(grid))


def test_slic_rests_when_the_preferred_response_is_delta_nats_ahead():
    h = torch.tensor([0.5, 1.9, 2.1, 50.0]).requires_grad_()
    (slope,) = torch.autograd.grad(slic(margins(h, torch.ones(4)), delta=2.0, lam=0.0).sum(), h)
    assert slope.tolist() == [-1, -1, 0, 0]


def _after(loss, steps: int, lr: float = 1.0) -> float:
    """The margin after gradient descent from zero on one pair whose `a` always wins."""
    h = torch.zeros(1, requires_grad=True)
    for _ in range(steps):
        (slope,) = torch.autograd.grad(loss(margins(h, torch.ones(1))).sum(), h)
        h = (h - lr * slope).detach().requires_grad_()
    return h.item()


def test_under_certain_labels_dpo_grows_like_the_logarithm_of_time():
    """dh/dt = β σ(−βh) gives e^{βh} ≈ β² t: ten times the steps add ln(10)/β nats."""
    beta = 0.5
    early, late = (_after(lambda y: dpo(y, beta=beta), n, lr=1 / beta**2) for n in (200, 2000))
    assert late - early == pytest.approx(log(10) / beta, rel=0.01)


def test_under_certain_labels_ipo_stops_at_half_the_inverse_of_beta():
    assert _after(lambda y: ipo(y, beta=0.25), 200, lr=0.2) == pytest.approx(2.0)
