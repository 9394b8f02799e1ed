"""Losses that are each other in a limit."""

from dataclasses import replace

import pytest
import torch

from prefloop.losses.dpo import dpo
from prefloop.losses.hinge import hinge
from prefloop.losses.ipo import ipo
from prefloop.losses.sft import sft
from prefloop.losses.slic import slic
from worlds import pairs, points


@pytest.mark.parametrize("n", [1.0, 7.0])
def test_ipo_over_equal_lengths_is_the_sum_form_with_beta_over_n(n):
    """(h/n − 1/2β)² = (h − n/2β)² / n²."""
    y = pairs()
    y = replace(y, len_a=torch.full_like(y.a, n), len_b=torch.full_like(y.b, n))
    mean_form = ipo(y, beta=0.3, length_normalize=True)
    torch.testing.assert_close(mean_form, ipo(y, beta=0.3 / n) / n**2)


@pytest.mark.parametrize("delta", [0.5, 2.0])
def test_slic_without_regulariser_is_hinge_against_a_uniform_reference(delta):
    y = pairs()
    uniform = replace(y, ref_a=torch.zeros_like(y.a), ref_b=torch.zeros_like(y.b))
    torch.testing.assert_close(
        slic(y, delta=delta, lam=0.0), delta * hinge(uniform, beta=1 / delta)
    )


def test_slic_with_the_preferred_response_as_target_is_its_default():
    hard = replace(pairs(), p=torch.ones(32))
    torch.testing.assert_close(slic(replace(hard, target=hard.a)), slic(replace(hard, target=None)))


def test_dpo_is_the_bradley_terry_likelihood_of_its_implicit_reward():
    y = pairs()
    reward_a, reward_b = 0.1 * (y.a - y.ref_a), 0.1 * (y.b - y.ref_b)
    likelihood = torch.nn.functional.binary_cross_entropy_with_logits(
        reward_a - reward_b, y.p, reduction="none"
    )
    torch.testing.assert_close(dpo(y, beta=0.1), likelihood)


@pytest.mark.parametrize("loss", [dpo, ipo, hinge], ids=lambda f: f.__name__)
def test_near_the_reference_the_losses_share_a_direction(loss):
    """arXiv:2402.05749: to first order a convex loss of βh is a multiple of (½ − p) h."""
    y = pairs(spread=1e-4)
    y.a.requires_grad_()
    (slope,) = torch.autograd.grad(loss(y).sum(), y.a)
    ratio = slope / (0.5 - y.p)
    torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio), rtol=1e-2, atol=0)


@pytest.mark.parametrize("cut", [1, 5, 31])
def test_the_mean_of_sft_does_not_depend_on_how_the_batch_was_cut(cut):
    y = points()
    y = replace(y, desirable=torch.ones(32, dtype=torch.bool))
    halves = [
        replace(y, y=y.y[s], ref=y.ref[s], desirable=y.desirable[s], length=y.length[s])
        for s in (slice(None, cut), slice(cut, None))
    ]
    total = sum(sft(half).sum() for half in halves) / 32
    torch.testing.assert_close(total, -y.y.sum() / y.length.sum())
