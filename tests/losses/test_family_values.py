"""The pairwise family against the numbers of the specification (guidebook §14), and by hand."""

from dataclasses import replace
from functools import partial
from math import exp, log1p

import pytest
import torch
from test_values import batch

from prefloop import plugins
from prefloop.losses.cdpo import cdpo
from prefloop.losses.dpop import dpop
from prefloop.losses.gpo import gpo
from prefloop.losses.r_dpo import r_dpo
from prefloop.losses.robust import robust
from prefloop.losses.rpo import rpo
from prefloop.losses.sigmoid_norm import sigmoid_norm
from prefloop.losses.simpo import simpo
from prefloop.losses.sppo_hard import sppo_hard

NUMBERS = {
    "cdpo": (partial(cdpo, label_smoothing=0.1), [0.62059610, 0.72385014, 0.78039113]),
    "robust": (partial(robust, label_smoothing=0.1), [0.57717110, 0.74072514, 0.82651613]),
    "sigmoid_norm-0.1": (partial(sigmoid_norm, beta=0.1), [0.68312968, 0.69367232, 0.70961390]),
    "sigmoid_norm-5": (sigmoid_norm, [0.31143256, 0.71974167, 1.81171176]),
    "sppo_hard": (sppo_hard, [32.6465, 59.4925, 76.9525]),
    "gpo-logistic": (gpo, [0.60129610, 0.73135014, 0.80089113]),
    "gpo-hinge": (partial(gpo, f="hinge"), [0.807, 1.075, 1.205]),
    "gpo-squared": (partial(gpo, f="squared"), [0.651249, 1.155625, 1.452025]),
    "gpo-exponential": (partial(gpo, f="exponential"), [0.82448197, 1.07788415, 1.22752506]),
    "gpo-truncated": (partial(gpo, f="truncated_quadratic"), [0.651249, 1.155625, 1.452025]),
    "gpo-savage": (partial(gpo, f="savage"), [0.20421290, 0.26909245, 0.30367954]),
}
SOFTPLUS = lambda x: log1p(exp(x))
BY_HAND = {
    # lengths differ by −3, 15, −1: βh + α Δ
    "r_dpo": (
        partial(r_dpo, alpha=0.02),
        [SOFTPLUS(-(0.193 - 0.06)), SOFTPLUS(-(-0.075 + 0.3)), SOFTPLUS(0.205 + 0.02)],
    ),
    # only the second preferred response fell, by 1.3 nats
    "dpop": (partial(dpop, lam=5.0), [0.60129610, SOFTPLUS(0.075 + 0.65), 0.80089113]),
    "simpo": (
        partial(simpo, beta=2.0, gamma=0.5),
        [
            SOFTPLUS(0.5 - 2 * (-12.34 / 8 + 15.72 / 11)),
            SOFTPLUS(0.5 - 2 * (-45.2 / 40 + 38.65 / 25)),
            SOFTPLUS(0.5 - 2 * (-7.05 / 5 + 9.8 / 6)),
        ],
    ),
    "rpo": (
        partial(rpo, alpha=2.0),
        [
            0.60129610 + 2 * 12.34 / 8,
            0.73135014 + 2 * 45.2 / 40,
            0.80089113 + 2 * 7.05 / 5,
        ],
    ),
}


@pytest.mark.parametrize(
    ("loss", "expected"), [*NUMBERS.values(), *BY_HAND.values()], ids=[*NUMBERS, *BY_HAND]
)
def test_the_numbers(loss, expected):
    torch.testing.assert_close(loss(batch()), torch.tensor(expected), rtol=0, atol=1e-8)
    torch.testing.assert_close(loss(batch().swap()), torch.tensor(expected), rtol=0, atol=1e-8)


def test_the_batch_losses_of_the_guidebook():
    """Its DPO+SFT averages over the tokens of the batch: every length is then the mean one."""
    y = batch()
    found = rpo(y).mean().item()
    assert found == pytest.approx(0.71117912 + 1.36083333, abs=1e-8)
    mean = y.len_a.mean().expand(3)
    assert rpo(replace(y, len_a=mean)).mean().item() == pytest.approx(1.92985837, abs=1e-8)


@pytest.mark.parametrize(
    ("loss", "value"),
    [
        (cdpo, 0.69314718),
        (robust, 0.69314718),
        (sigmoid_norm, 0.69314718),
        (dpop, 0.69314718),
        (gpo, 0.69314718),
        (partial(gpo, f="hinge"), 1.0),
        (partial(gpo, f="squared"), 1.0),
        (partial(gpo, f="exponential"), 1.0),
        (partial(gpo, f="truncated_quadratic"), 1.0),
        (partial(gpo, f="savage"), 0.25),
        (sppo_hard, 50.0),
    ],
)
def test_at_the_reference_a_loss_has_one_value_whatever_the_data(loss, value):
    y = batch()
    y = replace(y, a=y.ref_a, b=y.ref_b)
    torch.testing.assert_close(loss(y), torch.full((3,), value), rtol=0, atol=1e-8)


def test_at_the_reference_r_dpo_knows_the_lengths_and_nothing_else():
    y = batch()
    y = replace(y, a=y.ref_a, b=y.ref_b)
    expected = torch.tensor([SOFTPLUS(0.03), SOFTPLUS(-0.15), SOFTPLUS(0.01)])
    torch.testing.assert_close(r_dpo(y, alpha=0.01), expected)


SHAPES = {
    "logistic": (-0.5, 0.25),
    "hinge": (-1.0, 0.0),
    "squared": (-2.0, 2.0),
    "exponential": (-1.0, 1.0),
    "truncated_quadratic": (-2.0, 2.0),
    "savage": (-0.25, 0.125),
}
"""f → f'(0), f''(0): arXiv:2402.05749"""


def slope(loss, y):
    """∂ℓ/∂ log π(a), one value per pair, itself differentiable."""
    a = y.a.clone().requires_grad_()
    return torch.autograd.grad(loss(replace(y, a=a)).sum(), a, create_graph=True)[0], a


@pytest.mark.parametrize("f", SHAPES)
def test_a_function_of_gpo_has_the_slope_and_the_curvature_of_the_table(f):
    y = batch()
    y = replace(y, a=y.ref_a, b=y.ref_b)
    first, a = slope(partial(gpo, f=f, beta=1.0), y)
    second = torch.zeros(())
    if first.requires_grad:
        (second,) = torch.autograd.grad(first.sum(), a)
    torch.testing.assert_close(first[0].item(), SHAPES[f][0])
    torch.testing.assert_close(second.flatten()[0].item(), SHAPES[f][1])


@pytest.mark.parametrize(
    ("f", "exact", "to_second_order"),
    [
        ("logistic", 0.69463255, 0.69463256),
        ("squared", 1.00608300, 1.00608300),
        ("exponential", 1.00304161, 1.00304150),
        ("savage", 0.25074267, 0.25074269),
    ],
)
def test_near_the_reference_gpo_is_preference_less_a_squared_log_ratio(f, exact, to_second_order):
    y, beta = batch(), 0.01
    assert gpo(y, f=f, beta=beta).mean().item() == pytest.approx(exact, abs=1e-8)
    at_zero = gpo(replace(y, a=y.ref_a, b=y.ref_b), f=f).mean()
    x = beta * y.margin
    expansion = at_zero + (SHAPES[f][0] * x + SHAPES[f][1] * x**2 / 2).mean()
    assert expansion.item() == pytest.approx(to_second_order, abs=1e-8)


def test_what_pushes_how_hard():
    """The slopes in log π of the preferred response, from the formulas."""
    y = batch()
    d_w = y.a - y.ref_a
    down = torch.sigmoid(-0.1 * y.margin)
    found = {
        "cdpo": slope(cdpo, y)[0],
        "robust": slope(robust, y)[0],
        "sppo_hard": slope(sppo_hard, y)[0],
        "rpo": slope(rpo, y)[0],
        "dpop": slope(partial(dpop, lam=5.0), y)[0][1],
    }
    expected = {
        "cdpo": -0.1 * (down - 0.1),
        "robust": -0.1 * (0.9 * down + 0.1 * (1 - down)) / 0.8,
        "sppo_hard": 2 * (d_w - 5),
        "rpo": -0.1 * down - 1 / y.len_a,
        "dpop": -0.1 * 6 * torch.sigmoid(torch.tensor(0.725)),
    }
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, msg=name)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (partial(robust, label_smoothing=0.5), r"below 0.5, where a label says nothing, got 0.5"),
        (partial(robust, label_smoothing=-0.1), r"at least 0 .* got -0.1"),
        (partial(cdpo, label_smoothing=1.5), r"a probability, from 0 to 1, got 1.5"),
    ],
)
def test_an_impossible_flip_rate_is_refused(loss, message):
    with pytest.raises(ValueError, match=message):
        loss(batch())


def test_an_unknown_function_is_refused_before_the_run():
    with pytest.raises(ValueError, match=r"gpo.f: .*'savage'.* got 'cubic'"):
        plugins.build("losses", "gpo", {"f": "cubic"})


@pytest.mark.parametrize("f", SHAPES)
@pytest.mark.parametrize("h", [-1e4, 1e4])
def test_every_function_of_gpo_is_finite_however_sure_the_policy_is(f, h):
    y = replace(batch(), a=torch.tensor([-15.0 + h, -15.0, -15.0]).float())
    single = {name: getattr(y, name).float() for name in ("b", "ref_a", "ref_b", "p")}
    y = replace(y, **single)
    found, a = slope(partial(gpo, f=f, beta=1.0), y)
    assert gpo(y, f=f, beta=1.0).isfinite().all() and found.isfinite().all() and a.isfinite().all()
