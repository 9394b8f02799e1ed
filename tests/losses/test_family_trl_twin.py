"""The pairwise family against TRL's own loss code, value and gradient."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import test_trl_twin as twin
import torch

from prefloop.losses.cdpo import cdpo
from prefloop.losses.robust import robust
from prefloop.losses.rpo import rpo
from prefloop.losses.sigmoid_norm import sigmoid_norm
from prefloop.losses.simpo import simpo
from prefloop.losses.sppo_hard import sppo_hard

trl = pytest.importorskip("trl")
world = twin.world

KINDS = {
    "sigmoid_norm": sigmoid_norm,
    "sppo_hard": sppo_hard,
    "robust": partial(robust, label_smoothing=0.2),
}


@pytest.fixture
def told(monkeypatch):
    """TRL's trainer with more settings than `twin.trl_loss` makes it with."""

    def tell(**settings: Any) -> None:
        compute = trl.DPOTrainer._compute_loss

        def computed(trainer: SimpleNamespace, *given: Any) -> Any:
            vars(trainer).update(settings)
            return compute(trainer, *given)

        monkeypatch.setattr(trl.DPOTrainer, "_compute_loss", computed)

    return tell


def same_value_and_gradient(mine, theirs, tokens):
    torch.testing.assert_close(mine, theirs)
    (expected,) = torch.autograd.grad(theirs, tokens, retain_graph=True)
    (found,) = torch.autograd.grad(mine, tokens)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("beta", [0.1, 0.5])
@pytest.mark.parametrize("kind", KINDS)
def test_trl_computes_the_same(world, told, kind, beta):
    told(label_smoothing=0.2)
    mine = KINDS[kind](twin.ours(world), beta=beta).mean()
    same_value_and_gradient(mine, twin.trl_loss(world, kind, beta), world.tokens)


def one_pair(world: SimpleNamespace, i: int) -> SimpleNamespace:
    """The world of pair i alone."""
    rows = torch.tensor([i, i + twin.PAIRS])
    return SimpleNamespace(
        counts=world.counts[rows],
        lengths=world.lengths[rows],
        tokens=world.tokens[rows],
        ref=world.ref[rows],
    )


def test_rpo_is_trls_sigmoid_and_sft_of_each_pair_alone(world, told, monkeypatch):
    told(loss_types=["sigmoid", "sft"], loss_weights=[1.0, 0.7])
    mine = rpo(twin.ours(world), alpha=0.7).mean()
    whole = twin.trl_loss(world, "sigmoid", 0.1)
    assert not torch.allclose(mine, whole), "over the whole batch TRL weighs by length"
    singles = [one_pair(world, i) for i in range(twin.PAIRS)]
    monkeypatch.setattr(twin, "PAIRS", 1)
    theirs = torch.stack([twin.trl_loss(single, "sigmoid", 0.1) for single in singles]).mean()
    same_value_and_gradient(mine, theirs, world.tokens)


@pytest.fixture
def cpo(monkeypatch):
    """The formula of TRL's CPO trainer, which has SimPO."""
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    from trl.experimental.cpo import CPOTrainer

    return CPOTrainer.cpo_loss


@pytest.mark.parametrize(("beta", "gamma"), [(2.0, 1.0), (10.0, 3.0), (0.1, 0.0)])
def test_trl_computes_the_same_simpo(world, cpo, beta, gamma):
    y = twin.ours(world)
    trainer = SimpleNamespace(
        alpha=0.0,
        beta=beta,
        loss_type="simpo",
        simpo_gamma=gamma,
        label_smoothing=0.0,
        accelerator=SimpleNamespace(device="cpu"),
    )
    theirs, *_ = cpo(trainer, y.a / y.len_a, y.b / y.len_b)
    mine = simpo(y, beta=beta, gamma=gamma)
    same_value_and_gradient(mine.sum(), theirs.sum(), world.tokens)


def test_cdpo_is_the_label_smoothing_that_trls_sigmoid_ignores(world, told):
    """A setting that would change nothing here is left out: `dpo` has no label_smoothing."""
    told(label_smoothing=0.2)
    theirs = twin.trl_loss(world, "sigmoid", 0.1)
    torch.testing.assert_close(cdpo(twin.ours(world), label_smoothing=0.0).mean(), theirs)
    assert not torch.allclose(cdpo(twin.ours(world), label_smoothing=0.2).mean(), theirs)


def test_trls_cpo_smooths_labels_as_cdpo_does(world, cpo):
    y = twin.ours(world)
    trainer = SimpleNamespace(
        alpha=0.0,
        beta=0.3,
        loss_type="sigmoid",
        label_smoothing=0.2,
        accelerator=SimpleNamespace(device="cpu"),
    )
    theirs, *_ = cpo(trainer, y.a - y.ref_a, y.b - y.ref_b)
    mine = cdpo(y, beta=0.3, label_smoothing=0.2)
    same_value_and_gradient(mine.sum(), theirs.sum(), world.tokens)
