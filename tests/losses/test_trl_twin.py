"""TRL's own loss code on the same token log-probabilities, value and gradient.

`DPOTrainer._compute_loss` is called as it is, on a model that returns given log-probabilities and
on a trainer that has only what that method looks at.
"""

from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from prefloop.batches import PairLogps, PointLogps
from prefloop.losses.dpo import dpo
from prefloop.losses.hinge import hinge
from prefloop.losses.ipo import ipo
from prefloop.losses.sft import sft

trl = pytest.importorskip("trl")

PAIRS, TIME, PROMPT = 6, 11, 3
KINDS = {
    "sigmoid": dpo,
    "hinge": hinge,
    "ipo": lambda y, beta: ipo(y, beta=beta, length_normalize=True),
}


@pytest.fixture
def world() -> SimpleNamespace:
    """Ragged responses (chosen first, then rejected) after a prompt of three tokens."""
    g = torch.Generator().manual_seed(3)
    lengths = torch.randint(1, TIME - PROMPT + 1, (2 * PAIRS,), generator=g)
    position = torch.arange(TIME)
    counts = (position >= PROMPT) & (position < PROMPT + lengths[:, None])
    return SimpleNamespace(
        counts=counts,
        lengths=lengths.double(),
        tokens=(-3 * torch.rand(2 * PAIRS, TIME - 1, generator=g)).requires_grad_(),
        ref=-3 * torch.rand(2 * PAIRS, generator=g) * lengths,
    )


def trl_loss(world: SimpleNamespace, kind: str, beta: float) -> Tensor:
    """The scalar that TRL would differentiate."""
    grid = torch.zeros(2 * PAIRS, TIME - 1)
    outputs = SimpleNamespace(
        log_probs=world.tokens * world.counts[:, 1:],
        entropy=grid,
        mean_logits=grid,
        is_top1=grid.bool(),
    )
    same = lambda x: x
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=True),
        accelerator=SimpleNamespace(device="cpu", gather=same, gather_for_metrics=same),
        aux_loss_enabled=False,
        ld_alpha=None,
        precompute_ref_logps=True,
        f_divergence_type="reverse_kl",
        loss_types=[kind],
        loss_weights=[1.0],
        beta=beta,
        label_smoothing=0.0,
        use_weighting=False,
        _metrics={"train": defaultdict(list)},
        _total_train_tokens=0,
        _tp_size=1,
    )
    inputs = {
        "input_ids": torch.zeros(2 * PAIRS, TIME, dtype=torch.long),
        "attention_mask": torch.ones(2 * PAIRS, TIME, dtype=torch.long),
        "completion_mask": world.counts.long(),
        "ref_chosen_logps": world.ref[:PAIRS],
        "ref_rejected_logps": world.ref[PAIRS:],
    }
    found: Tensor = trl.DPOTrainer._compute_loss(trainer, lambda **_: outputs, inputs, False)
    return found


def ours(world: SimpleNamespace) -> PairLogps:
    """The same batch as prefloop's."""
    logp = (world.tokens * world.counts[:, 1:]).sum(1)
    return PairLogps(
        a=logp[:PAIRS],
        b=logp[PAIRS:],
        ref_a=world.ref[:PAIRS],
        ref_b=world.ref[PAIRS:],
        p=torch.ones(PAIRS),
        len_a=world.lengths[:PAIRS],
        len_b=world.lengths[PAIRS:],
    )


@pytest.mark.parametrize("beta", [0.1, 0.5])
@pytest.mark.parametrize("kind", KINDS)
def test_trl_computes_the_same_value_and_gradient(world, kind, beta):
    theirs = trl_loss(world, kind, beta)
    mine = KINDS[kind](ours(world), beta=beta).mean()
    torch.testing.assert_close(mine, theirs)
    (expected,) = torch.autograd.grad(theirs, world.tokens)
    (found,) = torch.autograd.grad(mine, world.tokens)
    torch.testing.assert_close(found, expected)


def test_trl_computes_the_same_sft(world):
    theirs = trl_loss(world, "sft", 0.1)
    y = ours(world)
    mine = sft(
        PointLogps(
            y=y.a,
            ref=y.ref_a,
            desirable=torch.ones(PAIRS, dtype=torch.bool),
            length=y.len_a,
            mean_length=y.len_a.mean(),
        )
    ).mean()
    torch.testing.assert_close(mine, theirs)
    (expected,) = torch.autograd.grad(theirs, world.tokens)
    (found,) = torch.autograd.grad(mine, world.tokens)
    torch.testing.assert_close(found, expected)


def test_the_twin_would_notice_a_sum_where_trl_has_a_mean(world):
    mine = ipo(ours(world), beta=0.1).mean()
    assert not torch.allclose(mine, trl_loss(world, "ipo", 0.1))
