"""KTO against TRL's own loss code, value and gradient, on the same token log-probabilities."""

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from prefloop.batches import PointLogps
from prefloop.losses.kto import kto

trl = pytest.importorskip("trl")

ROWS, TIME, PROMPT = 6, 9, 3


@pytest.fixture
def world() -> SimpleNamespace:
    """Ragged responses after a prompt of three tokens, and as many beside other prompts."""
    g = torch.Generator().manual_seed(4)
    position = torch.arange(TIME)

    def responses() -> SimpleNamespace:
        lengths = torch.randint(1, TIME - PROMPT + 1, (ROWS,), generator=g)
        counts = (position >= PROMPT) & (position < PROMPT + lengths[:, None])
        tokens = -3 * torch.rand(ROWS, TIME - 1, generator=g)
        ref = (tokens * counts[:, 1:]).sum(1) - 2 * torch.rand(ROWS, generator=g)
        return SimpleNamespace(counts=counts, lengths=lengths.double(), tokens=tokens, ref=ref)

    found = responses()
    found.tokens.requires_grad_()
    found.strange = responses()
    found.label = torch.tensor([True, False, True, True, False, True])
    return found


def inputs(world: SimpleNamespace) -> dict[str, Tensor]:
    ids = torch.zeros(ROWS, TIME, dtype=torch.long)
    return {
        "input_ids": ids,
        "attention_mask": ids + 1,
        "completion_mask": world.counts.long(),
        "KL_input_ids": ids,
        "KL_attention_mask": ids + 1,
        "KL_completion_mask": world.strange.counts.long(),
        "label": world.label,
        "ref_logps": world.ref,
        "ref_KL_logps": world.strange.ref,
    }


def trl_loss(world: SimpleNamespace, **settings: Any) -> Tensor:
    """The scalar that TRL would differentiate."""
    grid = torch.zeros(ROWS, TIME - 1)

    def model(labels: Tensor, **_: Any) -> SimpleNamespace:
        mine = torch.equal(labels == 0, world.counts)
        asked = world if mine else world.strange
        return SimpleNamespace(
            log_probs=asked.tokens * asked.counts[:, 1:], entropy=grid, mean_logits=grid
        )

    same = lambda x: x
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=True),
        accelerator=SimpleNamespace(device="cpu", gather_for_metrics=same),
        aux_loss_enabled=False,
        calculate_KL=settings["loss_type"] == "kto",
        precompute_ref_logps=True,
        _metrics={"train": defaultdict(list)},
        _total_train_tokens=0,
        _tp_size=1,
        **settings,
    )
    trainer._compute_kl_logps = lambda *given: trl.KTOTrainer._compute_kl_logps(trainer, *given)
    found: Tensor = trl.KTOTrainer._compute_loss(trainer, model, inputs(world), False)
    return found


def ours(world: SimpleNamespace) -> PointLogps:
    """The same batch as prefloop's."""
    strange = (world.strange.tokens * world.strange.counts[:, 1:]).sum(1)
    return PointLogps(
        y=(world.tokens * world.counts[:, 1:]).sum(1),
        ref=world.ref,
        desirable=world.label,
        length=world.lengths,
        mean_length=world.lengths.mean(),
        mismatch=strange - world.strange.ref,
    )


@pytest.mark.parametrize("beta", [0.1, 0.5])
@pytest.mark.parametrize(("good", "bad"), [(1.0, 1.0), (1.33, 0.7)])
def test_trl_computes_the_same_value_and_gradient(world, beta, good, bad):
    weights = {"desirable_weight": good, "undesirable_weight": bad}
    assert ours(world).mismatch.mean() > 0.1, "z₀ must count"
    theirs = trl_loss(world, loss_type="kto", beta=beta, **weights)
    mine = kto(ours(world), beta=beta, **weights).mean()
    torch.testing.assert_close(mine, theirs)
    (expected,) = torch.autograd.grad(theirs, world.tokens)
    (found,) = torch.autograd.grad(mine, world.tokens)
    torch.testing.assert_close(found, expected)


def test_where_the_estimate_is_negative_trl_computes_apo_zero(world):
    world.strange.ref = world.strange.ref + 10
    weights = {"desirable_weight": 1.0, "undesirable_weight": 1.0}
    for kind in ("kto", "apo_zero_unpaired"):
        theirs = trl_loss(world, loss_type=kind, beta=0.1, **weights)
        torch.testing.assert_close(kto(ours(world)).mean(), theirs)
