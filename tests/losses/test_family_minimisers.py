"""The pairwise family: where each loss is at rest."""

from dataclasses import replace
from functools import partial
from math import exp, log, sqrt

import pytest
import torch

from prefloop.losses.cdpo import cdpo
from prefloop.losses.dpo import dpo
from prefloop.losses.dpop import dpop
from prefloop.losses.gpo import gpo
from prefloop.losses.r_dpo import r_dpo
from prefloop.losses.robust import robust
from prefloop.losses.rpo import rpo
from prefloop.losses.sigmoid_norm import sigmoid_norm
from prefloop.losses.simpo import simpo
from prefloop.losses.sppo_hard import sppo_hard
from worlds import Bandit, margins, tilt

REWARD = torch.tensor([0.2, 1.0, -0.5, 0.7], dtype=torch.float64)
PRIOR = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
LENGTHS = torch.tensor([3.0, 20.0, 8.0, 1.0], dtype=torch.float64)


def slope(loss, h: float, p: float) -> float:
    """∂ℓ/∂h where the preferred response moves."""
    at = torch.tensor([h]).requires_grad_()
    (found,) = torch.autograd.grad(loss(margins(at, torch.tensor([p]))).sum(), at)
    return found.item()


def world_of(lengths: torch.Tensor, loss):
    """The loss on a bandit's pairs, whose responses have these lengths."""
    i, j = torch.cartesian_prod(*[torch.arange(len(lengths))] * 2).T
    return lambda y: loss(replace(y, len_a=lengths[i], len_b=lengths[j]))


def logit(p: float) -> float:
    return log(p / (1 - p))


MINIMISERS = {
    "logistic": logit,
    "hinge": lambda p: 1.0 if p > 0.5 else -1.0,
    "squared": lambda p: 2 * p - 1,
    "exponential": lambda p: logit(p) / 2,
    "truncated_quadratic": lambda p: 2 * p - 1,
    "savage": logit,
}


@pytest.mark.parametrize("p", [0.1, 0.45, 0.8])
@pytest.mark.parametrize("f", MINIMISERS)
def test_each_function_of_gpo_rests_at_its_own_margin(f, p):
    at, beta = MINIMISERS[f](p), 0.25
    loss = partial(gpo, f=f, beta=beta)
    assert slope(loss, (at - 1e-3) / beta, p) < 0 < slope(loss, (at + 1e-3) / beta, p)


def test_savage_gives_up_on_what_is_badly_misordered():
    savage = partial(gpo, f="savage", beta=1.0)
    worst = slope(savage, -log(2), 1.0)
    assert worst < slope(savage, 0.0, 1.0) < 0 and worst < slope(savage, -3.0, 1.0)
    assert abs(slope(savage, -30.0, 1.0)) < 1e-12


@pytest.mark.parametrize("f", ["hinge", "truncated_quadratic"])
def test_past_its_margin_a_truncated_loss_is_at_rest(f):
    assert slope(partial(gpo, f=f, beta=0.1), 10.5, 1.0) == 0


@pytest.mark.parametrize("epsilon", [0.05, 0.1, 0.3])
def test_a_certain_answer_has_a_finite_margin_under_cdpo(epsilon):
    """log((1−ε)/ε)/β; plain DPO pushes on for ever."""
    beta, at = 0.1, log((1 - epsilon) / epsilon) / 0.1
    loss = partial(cdpo, beta=beta, label_smoothing=epsilon)
    assert slope(loss, at, 1.0) == pytest.approx(0, abs=1e-12)
    assert slope(loss, at - 0.1, 1.0) < 0 < slope(loss, at + 0.1, 1.0)
    assert slope(partial(dpo, beta=beta), at, 1.0) < -1e-3


def test_on_flipped_labels_robust_finds_the_clean_optimum_and_cdpo_and_dpo_the_noisy_one():
    epsilon = 0.2
    clean = Bandit.bradley_terry(PRIOR, REWARD)
    noisy = replace(clean, preference=clean.preference * (1 - 2 * epsilon) + epsilon)
    truth = tilt(PRIOR, REWARD, 0.5)
    found = noisy.fit(partial(robust, beta=0.5, label_smoothing=epsilon))
    torch.testing.assert_close(found, truth, rtol=1e-6, atol=1e-8)
    for loss in (partial(dpo, beta=0.5), partial(cdpo, beta=0.5, label_smoothing=epsilon)):
        assert (noisy.fit(loss) - truth).abs().max() > 0.05


def test_on_one_certain_label_robust_has_no_floor():
    values = robust(margins([0.0, 1e2, 1e4], [1.0] * 3), label_smoothing=0.1)
    assert values[0] > values[1] > values[2]
    assert values[2].item() == pytest.approx(-0.1 * 1e3 / 0.8)


@pytest.mark.parametrize("alpha", [0.02, 0.1])
def test_r_dpo_recovers_the_optimum_of_the_reward_less_a_price_on_length(alpha):
    """arXiv:2403.19159: π ∝ π_ref · exp((r − α|y|)/β)."""
    world = Bandit.bradley_terry(PRIOR, REWARD)
    found = world.fit(world_of(LENGTHS, partial(r_dpo, beta=0.5, alpha=alpha)))
    expected = tilt(PRIOR, REWARD - alpha * LENGTHS, 0.5)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)
    assert (found * LENGTHS).sum() < (tilt(PRIOR, REWARD, 0.5) * LENGTHS).sum()


def test_sigmoid_norm_tilts_by_the_reward_times_the_length():
    """d = |y| (r + c)/β with the c that makes it a distribution: not a KL-regularised optimum."""
    beta = 10.0
    world = Bandit.bradley_terry(PRIOR, REWARD)
    found = world.fit(world_of(LENGTHS, partial(sigmoid_norm, beta=beta)))
    constant = beta * (found / PRIOR).log() / LENGTHS - REWARD
    torch.testing.assert_close(constant, constant[:1].expand(4), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("p", [0.3, 0.5, 0.8])
def test_simpo_overstates_a_soft_label(gamma, p):
    """With k = e⁻ᵞ and u = e^z: (1−p) k u² − (2p−1) u − p k = 0."""
    k, gap = exp(-gamma), 2 * p - 1
    u = (gap + sqrt(gap**2 + 4 * p * (1 - p) * k**2)) / (2 * (1 - p) * k)
    at, beta = log(u) / 2, 2.0
    loss = partial(simpo, beta=beta, gamma=gamma)
    assert slope(loss, at - 1e-3, p) < 0 < slope(loss, at + 1e-3, p)
    assert abs(log(u)) >= abs(logit(p)) - 1e-12


def test_dpop_lifts_the_preferred_response_where_dpo_lets_it_fall():
    """One direction lowers both responses, the rejected one three times as fast."""

    def slope_along(loss) -> float:
        t = torch.tensor([1.0]).requires_grad_()
        zero, one = torch.zeros(1), torch.ones(1)
        y = replace(margins(zero, one), a=-t, b=-3 * t)
        (found,) = torch.autograd.grad(loss(y).sum(), t)
        return found.item()

    assert slope_along(dpo) < 0, "DPO goes on"
    assert slope_along(partial(dpop, lam=5.0)) > 0, "DPOP turns back"


def test_the_likelihood_term_of_rpo_pushes_when_the_margin_is_won():
    y = replace(margins([500.0], [1.0]), len_a=torch.tensor([4.0]))
    y = replace(y, a=y.a.requires_grad_(), b=y.b.requires_grad_())
    up, down = torch.autograd.grad(rpo(y, alpha=2.0).sum(), [y.a, y.b])
    assert up.item() == pytest.approx(-0.5) and down.item() == pytest.approx(0)


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_sppo_hard_says_where_each_response_goes(p):
    """arXiv:2405.00675: d_a = (p − ½)/β, d_b = −d_a."""
    beta = 0.2
    at = (p - 0.5) / beta
    y = margins([at], [p])
    y = replace(y, a=y.a.requires_grad_(), b=(y.b - at).requires_grad_())
    for found in torch.autograd.grad(sppo_hard(y, beta=beta).sum(), [y.a, y.b]):
        assert found.item() == pytest.approx(0, abs=1e-9)
    nearby = replace(y, a=y.a + 0.1, b=y.b + 0.1)
    assert sppo_hard(nearby, beta=beta) > sppo_hard(y, beta=beta)
