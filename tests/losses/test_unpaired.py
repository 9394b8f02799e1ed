"""Losses that know of no pairs, or of pairs only as two halves: kto, kto_pair, bco."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from test_values import batch

from prefloop.batches import PairLogps, PointLogps, detached
from prefloop.losses.bco import bco
from prefloop.losses.dpo import dpo
from prefloop.losses.kto import kto
from prefloop.losses.kto_pair import kto_pair
from worlds import margins, pairs, points


def four() -> PointLogps:
    """Batch K of the guidebook (§14.5)."""
    y = PointLogps(
        y=torch.tensor([-20.0, -31.0, -12.5, -40.2]),
        ref=torch.tensor([-21.5, -30.2, -14.0, -38.9]),
        desirable=torch.tensor([True, True, False, False]),
        length=torch.ones(4),
        mean_length=torch.tensor(1.0),
        mismatch=torch.tensor([-60.0, -55.0, -48.0, -70.0])
        - torch.tensor([-60.5, -54.2, -49.4, -70.3]),
    )
    return replace(y, whole=detached(y))


def slope(loss, y: PointLogps) -> torch.Tensor:
    y = replace(y, y=y.y.clone().requires_grad_())
    return torch.autograd.grad(loss(y).sum(), y.y)[0]


class TestKto:
    def test_the_numbers_of_the_guidebook(self):
        expected = torch.tensor([0.47128164, 0.52871836, 0.52871836, 0.45884333])
        torch.testing.assert_close(kto(four()), expected, rtol=0, atol=1e-8)
        assert kto(four()).mean().item() == pytest.approx(0.49689042, abs=1e-8)
        assert four().mismatch.mean().item() == pytest.approx(0.35)

    def test_the_slopes_of_the_guidebook(self):
        expected = torch.tensor([-0.02491753, -0.02491753, 0.02491753, 0.02483061])
        torch.testing.assert_close(slope(kto, four()), expected, rtol=0, atol=1e-8)

    def test_the_numbers_of_a_policy_whose_mismatch_is_its_own_law(self):
        """theory.md, C11: π = (.3, .2, .15, .35) over π₀ = (.1, .2, .3, .4), β = 0.1."""
        policy, prior = torch.tensor([[0.3, 0.2, 0.15, 0.35], [0.1, 0.2, 0.3, 0.4]])
        ratio = (policy / prior).log()
        kl = (policy * ratio).sum()
        assert kl.item() == pytest.approx(0.1788756221, abs=1e-9)
        y = PointLogps(
            y=ratio,
            ref=torch.zeros(4),
            desirable=torch.ones(4, dtype=torch.bool),
            length=torch.ones(4),
            mean_length=torch.tensor(1.0),
            mismatch=kl[None],
        )
        value = torch.tensor([0.4770227784, 0.5044717713, 0.5217867658, 0.5078095402])
        torch.testing.assert_close(kto(y), value, rtol=0, atol=1e-9)
        torch.testing.assert_close(kto(replace(y, desirable=~y.desirable)), 1 - value)

    @pytest.mark.parametrize(("good", "bad"), [(1.0, 1.0), (2.33, 1.0), (0.5, 3.0)])
    def test_at_the_reference_it_is_half_the_weight(self, good, bad):
        y = points()
        y = replace(y, y=y.ref, mismatch=torch.zeros(5))
        found = kto(y, desirable_weight=good, undesirable_weight=bad)
        expected = torch.where(y.desirable, good / 2, bad / 2)
        torch.testing.assert_close(found, expected)

    def test_a_negative_estimate_of_the_kl_counts_as_none(self):
        y = four()
        low, none = (kto(replace(y, mismatch=torch.tensor([m]))) for m in (-3.0, 0.0))
        torch.testing.assert_close(low, none)
        assert none.mean().item() == pytest.approx(0.49688376, abs=1e-8), "apo_zero_unpaired"

    def test_what_is_solved_and_what_is_hopeless_is_left_alone(self):
        """50 nats away 3 % of the slope at z₀ is left; bco pushes the hopeless hardest."""
        d = torch.tensor([-50.0, 0.0, 50.0])
        y = PointLogps(
            y=d,
            ref=torch.zeros(3),
            desirable=torch.ones(3, dtype=torch.bool),
            length=torch.ones(3),
            mean_length=torch.tensor(1.0),
            mismatch=torch.zeros(1),
        )
        y = replace(y, whole=y)
        hopeless, middle, solved = slope(kto, y) / -0.025
        assert middle == pytest.approx(1.0)
        assert hopeless == pytest.approx(0.027, abs=1e-3) == solved.item()
        hopeless, middle, solved = slope(bco, y)
        assert hopeless < middle < solved < 0

    @pytest.mark.parametrize("mismatch", [None, torch.zeros(0)])
    def test_it_asks_for_mismatched_pairs(self, mismatch):
        with pytest.raises(ValueError, match="a batch needs at least 2 prompts"):
            kto(replace(points(), mismatch=mismatch))


def legacy(y: PairLogps, beta: float) -> torch.Tensor:
    """TRL's kto_pair of old, on hard labels, with its means stopped as the paper has them."""
    chosen, rejected = y.a - y.ref_a, y.b - y.ref_b
    chosen_kl = chosen.mean().clamp(min=0).detach()
    rejected_kl = rejected.mean().clamp(min=0).detach()
    return torch.cat(
        (
            1 - torch.sigmoid(beta * (chosen - rejected_kl)),
            1 - torch.sigmoid(beta * (chosen_kl - rejected)),
        )
    )


class TestKtoPair:
    @pytest.mark.parametrize("lift", [0.0, 2.0, -2.0])
    def test_on_certain_answers_it_is_the_formula_of_old(self, lift):
        y = replace(pairs(), p=torch.ones(32))
        y = replace(y, ref_a=y.ref_a - lift, ref_b=y.ref_b - lift)
        y = replace(y, whole=detached(replace(y, whole=None)))
        y = replace(y, a=y.a.requires_grad_(), b=y.b.requires_grad_())
        torch.testing.assert_close(kto_pair(y.swap(), beta=0.3), kto_pair(y, beta=0.3))
        mine, theirs = kto_pair(y, beta=0.3).mean(), legacy(y, 0.3).mean()
        torch.testing.assert_close(mine, theirs)
        for found, expected in zip(
            torch.autograd.grad(mine, (y.a, y.b)),
            torch.autograd.grad(theirs, (y.a, y.b)),
            strict=True,
        ):
            torch.testing.assert_close(found, expected)

    def test_by_hand_on_the_guidebooks_pairs(self):
        """d_w = .76, −1.3, .45 has a mean below zero; d_l = −1.17, −.55, 2.5 one of .26."""
        y = replace(batch(), whole=batch())
        d_w, d_l = torch.tensor([0.76, -1.3, 0.45]), torch.tensor([-1.17, -0.55, 2.5])
        expected = (torch.sigmoid(0.1 * (0.26 - d_w)) + torch.sigmoid(0.1 * d_l)) / 2
        torch.testing.assert_close(kto_pair(y), expected)

    def test_at_the_reference_it_is_a_half(self):
        y = batch()
        y = replace(y, a=y.ref_a, b=y.ref_b)
        torch.testing.assert_close(kto_pair(replace(y, whole=y)), torch.full((3,), 0.5))

    def test_a_soft_answer_counts_in_both_halves(self):
        """Three in four for a is three certain rows for a and one for b."""
        y = replace(pairs(8), p=torch.full((8,), 0.75), whole=None)
        index = torch.arange(8).repeat_interleave(4)
        kept = {k: v[index] for k, v in vars(y).items() if isinstance(v, torch.Tensor)}
        four = replace(y, **{**kept, "p": torch.tensor([1.0, 1.0, 1.0, 0.0]).repeat(8)})
        soft = kto_pair(replace(y, whole=y))
        torch.testing.assert_close(soft, kto_pair(replace(four, whole=four)).view(8, 4).mean(1))

    def test_it_asks_for_the_whole_batch(self):
        with pytest.raises(ValueError, match="kto_pair takes means over the whole"):
            kto_pair(replace(pairs(), whole=None))


class TestBco:
    def test_the_batch_loss_of_the_guidebook(self):
        """bco_unpaired: δ = 0.0225, mean loss 0.68896674."""
        y = four()
        assert 0.1 * (y.y - y.ref).mean().item() == pytest.approx(0.0225)
        assert bco(y).mean().item() == pytest.approx(0.68896674, abs=1e-8)

    def test_by_hand(self):
        delta, reward = 0.0225, torch.tensor([0.15, -0.08, 0.15, -0.13])
        sign = torch.tensor([1.0, 1.0, -1.0, -1.0])
        torch.testing.assert_close(bco(four()), (1 + (-sign * (reward - delta)).exp()).log())

    def test_a_level_that_all_rewards_share_changes_nothing(self):
        y = points()
        lifted = replace(y, y=y.y + 5, whole=replace(y.whole, y=y.whole.y + 5))
        torch.testing.assert_close(bco(lifted), bco(y))

    @pytest.mark.parametrize("shift", [-3.0, 0.0, 0.4, 3.0])
    def test_its_two_losses_of_a_pair_bound_dpos_from_above(self, shift):
        """arXiv:2404.04656: σ(x) σ(y) ≤ σ(x + y), the tightest where δ is midway."""

        def both(d_w: float, d_l: float, level: float) -> float:
            y = PointLogps(
                y=torch.tensor([d_w, d_l]),
                ref=torch.zeros(2),
                desirable=torch.tensor([True, False]),
                length=torch.ones(2),
                mean_length=torch.tensor(1.0),
            )
            other = replace(y, y=torch.full((2,), level))
            return float(bco(replace(y, whole=other), beta=1.0).sum())

        d_w, d_l = 1.3, 0.2
        midway = (d_w + d_l) / 2
        bound = float(dpo(margins([d_w - d_l], [1.0]), beta=1.0))
        assert both(d_w, d_l, midway + shift) >= both(d_w, d_l, midway) > bound

    @pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
    def test_over_many_labels_it_rests_at_the_share_of_desirable_ones(self, share):
        level, n = 0.7, 10
        at = level + torch.tensor(share / (1 - share)).log()
        y = PointLogps(
            y=at.expand(n),
            ref=torch.zeros(n),
            desirable=torch.arange(n) < share * n,
            length=torch.ones(n),
            mean_length=torch.tensor(1.0),
        )
        y = replace(y, whole=replace(y, y=torch.full((n,), level)))
        total = slope(partial(bco, beta=1.0), y).sum()
        torch.testing.assert_close(total, torch.zeros(()), rtol=0, atol=1e-9)

    def test_it_asks_for_the_whole_batch(self):
        with pytest.raises(ValueError, match="bco centres rewards on the whole"):
            bco(replace(points(), whole=None))
