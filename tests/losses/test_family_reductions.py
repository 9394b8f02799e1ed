"""The pairwise family: losses that are each other in a limit (guidebook §14.2, item 6)."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from prefloop.losses.cdpo import cdpo
from prefloop.losses.dpo import dpo
from prefloop.losses.dpop import dpop
from prefloop.losses.gpo import gpo
from prefloop.losses.hinge import hinge
from prefloop.losses.ipo import ipo
from prefloop.losses.r_dpo import r_dpo
from prefloop.losses.robust import robust
from prefloop.losses.rpo import rpo
from prefloop.losses.sigmoid_norm import sigmoid_norm
from prefloop.losses.simpo import simpo
from prefloop.losses.sppo_hard import sppo_hard
from worlds import pairs

SAME = {
    "cdpo(0)": (partial(cdpo, label_smoothing=0.0, beta=0.3), partial(dpo, beta=0.3)),
    "robust(0)": (partial(robust, label_smoothing=0.0, beta=0.3), partial(dpo, beta=0.3)),
    "r_dpo(0)": (partial(r_dpo, alpha=0.0, beta=0.3), partial(dpo, beta=0.3)),
    "dpop(0)": (partial(dpop, lam=0.0, beta=0.3), partial(dpo, beta=0.3)),
    "rpo(0)": (partial(rpo, alpha=0.0, beta=0.3), partial(dpo, beta=0.3)),
    "gpo-logistic": (partial(gpo, f="logistic", beta=0.3), partial(dpo, beta=0.3)),
    "gpo-hinge": (partial(gpo, f="hinge", beta=0.3), partial(hinge, beta=0.3)),
}


@pytest.mark.parametrize(("loss", "simpler"), SAME.values(), ids=SAME)
def test_switched_off_it_is_the_simpler_loss(loss, simpler):
    y = pairs()
    torch.testing.assert_close(loss(y), simpler(y))


@pytest.mark.parametrize(
    "loss",
    [
        partial(cdpo, label_smoothing=0.2),
        partial(robust, label_smoothing=0.2),
        partial(r_dpo, alpha=0.05),
        partial(dpop, lam=2.0),
        partial(rpo, alpha=0.5),
        partial(gpo, f="savage"),
    ],
)
def test_switched_on_it_is_not(loss):
    y = pairs()
    assert not torch.isclose(loss(y), dpo(y)).all()


@pytest.mark.parametrize("tau", [0.1, 0.7])
def test_gpo_squared_is_ipo_on_another_scale(tau):
    y = pairs()
    torch.testing.assert_close(gpo(y, f="squared", beta=2 * tau) / (4 * tau**2), ipo(y, beta=tau))


def test_gpo_truncated_quadratic_is_squared_short_of_the_margin():
    y = replace(pairs(), p=torch.ones(32))
    short = y.margin < 1
    assert short.any() and not short.all()
    squared, truncated = (gpo(y, f=f, beta=1.0) for f in ("squared", "truncated_quadratic"))
    torch.testing.assert_close(truncated, squared.where(short, torch.zeros_like(squared)))


@pytest.mark.parametrize("n", [1.0, 7.0])
def test_over_equal_lengths_sigmoid_norm_is_dpo_with_beta_over_n(n):
    y = pairs()
    y = replace(y, len_a=torch.full_like(y.a, n), len_b=torch.full_like(y.b, n))
    torch.testing.assert_close(sigmoid_norm(y, beta=2.0), dpo(y, beta=2.0 / n))


@pytest.mark.parametrize("n", [1.0, 7.0])
def test_over_equal_lengths_simpo_without_a_margin_is_dpo_against_a_uniform_reference(n):
    y = pairs()
    y = replace(y, len_a=torch.full_like(y.a, n), len_b=torch.full_like(y.b, n))
    uniform = replace(y, ref_a=torch.zeros_like(y.a), ref_b=torch.zeros_like(y.b))
    torch.testing.assert_close(simpo(y, beta=2.0, gamma=0.0), dpo(uniform, beta=2.0 / n))


def test_over_equal_lengths_r_dpo_is_dpo():
    y = pairs()
    y = replace(y, len_b=y.len_a)
    torch.testing.assert_close(r_dpo(y, alpha=3.0), dpo(y))


def test_where_no_response_fell_below_the_reference_dpop_is_dpo():
    y = pairs()
    y = replace(y, ref_a=y.a - 1, ref_b=y.b - 2)
    torch.testing.assert_close(dpop(y, lam=50.0), dpo(y))


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.4])
def test_cdpo_of_a_swapped_pair_is_cdpo_with_the_other_share(epsilon):
    y = replace(pairs(), p=torch.ones(32))
    swapped = replace(y.swap(), p=y.p)
    torch.testing.assert_close(
        cdpo(swapped, label_smoothing=epsilon), cdpo(y, label_smoothing=1 - epsilon)
    )


def test_cdpo_on_certain_answers_is_dpo_on_soft_ones():
    y = replace(pairs(), p=torch.ones(32))
    soft = replace(y, p=torch.full((32,), 0.8))
    torch.testing.assert_close(cdpo(y, label_smoothing=0.2), dpo(soft))


@pytest.mark.parametrize("epsilon", [0.05, 0.2, 0.45])
def test_over_random_flips_robust_is_on_average_dpo_on_the_clean_labels(epsilon):
    """arXiv:2403.00409: the expectation over flips of rate ε, in value and in gradient."""
    y = pairs()
    y = replace(y, p=y.p.round(), a=y.a.requires_grad_())
    flipped = replace(y, p=1 - y.p)
    loss = partial(robust, label_smoothing=epsilon)
    average = (1 - epsilon) * loss(y) + epsilon * loss(flipped)
    torch.testing.assert_close(average, dpo(y))
    (found,) = torch.autograd.grad(average.sum(), y.a)
    (expected,) = torch.autograd.grad(dpo(y).sum(), y.a)
    torch.testing.assert_close(found, expected)


def test_robust_undoes_what_cdpo_expects():
    """The noisy labels that cdpo fits are those from which robust finds the clean ones."""
    y = pairs()
    noisy = replace(y, p=0.7 * y.p + 0.3 * (1 - y.p))
    torch.testing.assert_close(dpo(noisy), cdpo(y, label_smoothing=0.3))
    torch.testing.assert_close(robust(noisy, label_smoothing=0.3), dpo(y))


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_sppo_hard_is_ipo_at_half_the_beta_and_a_pull_of_the_log_ratios_to_sum_zero(beta):
    """x² + y² = ½ (x − y)² + ½ (x + y)², with x = d_a − 1/2β and y = d_b + 1/2β."""
    y = pairs()
    total = (y.a - y.ref_a) + (y.b - y.ref_b)
    expected = ipo(y, beta=beta / 2) / 2 + total**2 / 2
    torch.testing.assert_close(sppo_hard(y, beta=beta), expected)


@pytest.mark.parametrize("f", ["logistic", "squared", "exponential", "savage"])
def test_near_the_reference_the_functions_of_gpo_share_a_direction(f):
    y = pairs(spread=1e-4)
    y.a.requires_grad_()
    (slope,) = torch.autograd.grad(gpo(y, f=f, beta=1.0).sum(), y.a)
    ratio = slope / (0.5 - y.p)
    torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio), rtol=1e-2, atol=0)
