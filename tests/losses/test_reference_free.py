"""cpo and orpo, which know no reference: numbers, reductions, and TRL's own code."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import test_family_trl_twin as family
import test_trl_twin as twin
import torch
from test_values import batch

from prefloop.losses.cpo import cpo
from prefloop.losses.dpo import dpo
from prefloop.losses.orpo import orpo
from prefloop.losses.simpo import simpo
from worlds import pairs

world = twin.world
NLL, TOKEN_NLL = 1.36083333, 1.21867925
"""of batch P's chosen responses: the mean of their means, and the mean over their tokens"""


def odds(logp: torch.Tensor) -> torch.Tensor:
    return logp.exp() / (1 - logp.exp())


class TestCpo:
    def test_the_numbers_of_the_guidebook(self):
        expected = torch.tensor([0.53836022, 1.07334320, 0.56507067])
        torch.testing.assert_close(cpo(batch(), alpha=0.0), expected, rtol=0, atol=1e-8)
        y = batch()
        assert cpo(y).mean().item() == pytest.approx(0.72559136 + NLL, abs=1e-8)
        even = replace(y, len_a=y.len_a.mean().expand(3))
        assert cpo(even).mean().item() == pytest.approx(1.94427061, abs=1e-8)

    def test_without_imitation_it_is_dpo_against_a_uniform_reference(self):
        y = pairs()
        uniform = replace(y, ref_a=torch.zeros(32), ref_b=torch.zeros(32))
        torch.testing.assert_close(cpo(y, beta=0.3, alpha=0.0), dpo(uniform, beta=0.3))

    @pytest.mark.parametrize("n", [1.0, 7.0])
    def test_over_equal_lengths_it_is_simpo_without_a_margin(self, n):
        y = pairs()
        y = replace(y, len_a=torch.full((32,), n), len_b=torch.full((32,), n))
        torch.testing.assert_close(cpo(y, beta=2.0 / n, alpha=0.0), simpo(y, beta=2.0, gamma=0.0))

    def test_the_likelihood_term_never_rests(self):
        y = pairs()
        y = replace(y, a=(y.a * 0 - 1).requires_grad_(), b=y.b - 1e3, p=torch.ones(32))
        (found,) = torch.autograd.grad(cpo(y, alpha=2.0).sum(), y.a)
        torch.testing.assert_close(found, -2 / y.len_a)

    @pytest.mark.parametrize("beta", [0.1, 2.0])
    def test_trl_computes_the_same(self, world, cpo_of_trl, beta):
        y = twin.ours(world)
        theirs, *_ = cpo_of_trl(trainer(beta), y.a, y.b)
        mine = cpo(y, beta=beta, alpha=0.0)
        family.same_value_and_gradient(mine.sum(), theirs.sum(), world.tokens)


class TestOrpo:
    def test_the_numbers_of_the_guidebook(self):
        y = batch()
        ratio = (odds(y.a / y.len_a) / odds(y.b / y.len_b)).log()
        expected = torch.tensor([-0.14662086, 0.56648072, 0.28597892])
        torch.testing.assert_close(ratio, expected, rtol=0, atol=1e-8)
        mine = -y.a / y.len_a + 0.1 * (1 + (-ratio).exp()).log()
        torch.testing.assert_close(orpo(y), mine)
        assert orpo(y).mean().item() - NLL + TOKEN_NLL == pytest.approx(1.27797867, abs=1e-8)

    def test_without_its_penalty_it_is_imitation(self):
        y = replace(pairs(), p=torch.ones(32))
        torch.testing.assert_close(orpo(y, beta=0.0), -y.a / y.len_a)

    def test_it_demands_of_a_soft_label_what_it_demands_of_each_certain_one(self):
        y = pairs()
        one, other = (orpo(replace(y, p=torch.full((32,), p))) for p in (1.0, 0.0))
        torch.testing.assert_close(orpo(y), y.p * one + (1 - y.p) * other)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_a_certain_response_has_finite_odds(self, dtype):
        y = pairs(4)
        y = replace(y, **{k: v.to(dtype) for k, v in vars(y).items() if k in "ab" or k == "p"})
        y = replace(y, len_a=y.len_a.to(dtype), len_b=y.len_b.to(dtype))
        y = replace(y, a=torch.zeros_like(y.a).requires_grad_(), b=y.b.requires_grad_())
        value = orpo(y)
        assert value.isfinite().all()
        assert all(g.isfinite().all() for g in torch.autograd.grad(value.sum(), (y.a, y.b)))

    @pytest.mark.parametrize("beta", [0.1, 1.0])
    def test_trl_computes_the_same(self, world, orpo_of_trl, beta):
        """TRL's formula is in single precision, and is subtracted from the mean likelihood."""
        y = twin.ours(world)
        theirs, *_ = orpo_of_trl(trainer(beta), y.a / y.len_a, y.b / y.len_b)
        mine = (orpo(y, beta=beta) + y.a / y.len_a).sum()
        torch.testing.assert_close(mine.float(), -theirs.sum())
        (expected,) = torch.autograd.grad(-theirs.sum(), world.tokens, retain_graph=True)
        (found,) = torch.autograd.grad(mine, world.tokens)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def trainer(beta: float) -> SimpleNamespace:
    """What TRL's formulas look at."""
    return SimpleNamespace(
        alpha=0.0,
        beta=beta,
        loss_type="sigmoid",
        label_smoothing=0.0,
        accelerator=SimpleNamespace(device="cpu"),
    )


@pytest.fixture
def cpo_of_trl(monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    from trl.experimental.cpo import CPOTrainer

    return CPOTrainer.cpo_loss


@pytest.fixture
def orpo_of_trl(monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    from trl.experimental.orpo import ORPOTrainer

    return ORPOTrainer.odds_ratio_loss
