"""Losses against numbers: hand-made ones, and those of the specification (guidebook §14)."""

import pytest
import torch

from prefloop.batches import PairLogps, PointLogps
from prefloop.losses.dpo import dpo
from prefloop.losses.hinge import hinge
from prefloop.losses.ipo import ipo
from prefloop.losses.sft import sft
from prefloop.losses.slic import slic
from worlds import margins

CHOSEN, REF_CHOSEN, LEN_CHOSEN = (-12.34, -45.2, -7.05), (-13.1, -43.9, -7.5), (8.0, 40.0, 5.0)
REJECTED, REF_REJECTED = (-15.72, -38.65, -9.8), (-14.55, -38.1, -12.3)
LEN_REJECTED = (11.0, 25.0, 6.0)


def batch(p: float = 1.0, target: tuple[float, ...] | None = None) -> PairLogps:
    """Batch P of the guidebook, the chosen response named `a`."""
    return PairLogps(
        a=torch.tensor(CHOSEN),
        b=torch.tensor(REJECTED),
        ref_a=torch.tensor(REF_CHOSEN),
        ref_b=torch.tensor(REF_REJECTED),
        p=torch.full((3,), p),
        len_a=torch.tensor(LEN_CHOSEN),
        len_b=torch.tensor(LEN_REJECTED),
        target=None if target is None else torch.tensor(target),
    )


def test_the_margin_is_the_difference_of_log_ratios():
    torch.testing.assert_close(batch().margin, torch.tensor([1.93, -0.75, -2.05]))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (dpo, [0.60129610, 0.73135014, 0.80089113]),
        (hinge, [0.807, 1.075, 1.205]),
        (ipo, [9.4249, 33.0625, 49.7025]),
        (lambda y: ipo(y, length_normalize=True), [23.02691095, 25.10511025, 28.37337778]),
        (slic, [1.234, 12.07, 0.705]),
    ],
    ids=["dpo", "hinge", "ipo_sum", "ipo_mean", "slic"],
)
def test_the_numbers_of_the_guidebook(loss, expected):
    torch.testing.assert_close(loss(batch()), torch.tensor(expected), rtol=0, atol=1e-8)
    swapped = loss(batch().swap())
    torch.testing.assert_close(swapped, torch.tensor(expected), rtol=0, atol=1e-8)


def test_the_gradient_of_dpo_in_the_guidebook():
    y = batch()
    y.a.requires_grad_()
    (slope,) = torch.autograd.grad(dpo(y).sum(), y.a)
    expected = torch.tensor([-0.04518992, -0.05187412, -0.05510713])
    torch.testing.assert_close(slope, expected, rtol=0, atol=1e-8)


def test_a_soft_label_is_the_guidebooks_label_smoothing():
    """cDPO with ε = 0.1 is DPO with p = 0.9."""
    expected = torch.tensor([0.62059610, 0.72385014, 0.78039113])
    torch.testing.assert_close(dpo(batch(p=0.9)), expected, rtol=0, atol=1e-8)


def test_slic_keeps_a_given_target_likely_instead_of_the_preferred_response():
    expected = torch.tensor([1.1, 11.55, 0.65])
    torch.testing.assert_close(slic(batch(target=(-11.0, -40.0, -6.5))), expected)


@pytest.mark.parametrize(
    ("loss", "value"),
    [
        (dpo, 0.69314718),
        (hinge, 1.0),
        (ipo, 25.0),
        (lambda y: ipo(y, length_normalize=True), 25.0),
    ],
    ids=["dpo", "hinge", "ipo_sum", "ipo_mean"],
)
def test_at_the_reference_a_loss_has_one_value_whatever_the_data(loss, value):
    y = batch()
    at_reference = PairLogps(
        a=y.ref_a, b=y.ref_b, ref_a=y.ref_a, ref_b=y.ref_b, p=y.p, len_a=y.len_a, len_b=y.len_b
    )
    torch.testing.assert_close(loss(at_reference), torch.full((3,), value), rtol=0, atol=1e-8)


def test_three_margins_done_on_paper():
    """h = 0, 1, −2 with labels 1, 1, 0."""
    y = margins([0.0, 1.0, -2.0], [1.0, 1.0, 0.0])
    e = torch.tensor(1.0).exp()
    torch.testing.assert_close(
        dpo(y, beta=1.0),
        torch.stack([torch.tensor(2.0).log(), (1 + 1 / e).log(), (1 + 1 / e**2).log()]),
    )
    torch.testing.assert_close(hinge(y, beta=1.0), torch.tensor([1.0, 0.0, 0.0]))
    torch.testing.assert_close(ipo(y, beta=0.5), torch.tensor([1.0, 0.0, 1.0]))
    torch.testing.assert_close(slic(y, delta=3.0, lam=0.0), torch.tensor([3.0, 2.0, 1.0]))


def test_sft_is_the_mean_over_the_tokens_of_the_batch():
    length = torch.tensor(LEN_CHOSEN)
    y = PointLogps(
        y=torch.tensor(CHOSEN),
        ref=torch.tensor(REF_CHOSEN),
        desirable=torch.ones(3, dtype=torch.bool),
        length=length,
        mean_length=length.mean(),
    )
    assert sft(y).mean().item() == pytest.approx(1.21867925, abs=1e-8)


def test_sft_learns_nothing_from_an_undesirable_response():
    logp = torch.tensor([-4.0, -6.0]).requires_grad_()
    y = PointLogps(
        y=logp,
        ref=torch.zeros(2),
        desirable=torch.tensor([True, False]),
        length=torch.tensor([2.0, 2.0]),
        mean_length=torch.tensor(2.0),
    )
    assert sft(y).tolist() == [2.0, 0.0]
    (slope,) = torch.autograd.grad(sft(y).sum(), logp)
    assert slope.tolist() == [-0.5, 0.0]
