"""TRL's reward trainer on the same scores, value and gradient."""

from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from prefloop.batches import PairScores
from prefloop.losses.reward.bradley_terry import bradley_terry
from prefloop.losses.reward.margin import margin

trl = pytest.importorskip("trl")
PAIRS = 6


@pytest.fixture
def logits() -> Tensor:
    """Scores of the chosen, then of the rejected."""
    g = torch.Generator().manual_seed(5)
    return torch.randn(2 * PAIRS, 1, generator=g).requires_grad_()


def trl_loss(logits: Tensor, center: float | None, margins: Tensor | None) -> Tensor:
    """The scalar that TRL would differentiate."""
    same = lambda x: x
    model = lambda **_: SimpleNamespace(logits=logits)
    model.training = True
    trainer = SimpleNamespace(
        model=model,
        args=SimpleNamespace(center_rewards_coefficient=center),
        accelerator=SimpleNamespace(gather=same, gather_for_metrics=same),
        _metrics={"train": defaultdict(list)},
        _total_train_tokens=0,
        _tp_size=1,
    )
    inputs = {"attention_mask": torch.ones(2 * PAIRS, 3, dtype=torch.long)}
    if margins is not None:
        inputs["margin"] = margins
    found: Tensor = trl.RewardTrainer.compute_loss(trainer, model, inputs)
    return found


def ours(logits: Tensor, strength: Tensor | None) -> PairScores:
    a, b = logits.squeeze(-1).chunk(2)
    return PairScores(a=a, b=b, p=torch.ones(PAIRS), strength=strength)


@pytest.mark.parametrize("center", [None, 0.01])
@pytest.mark.parametrize("strong", [False, True])
def test_trl_computes_the_same_value_and_gradient(logits, center, strong):
    strength = torch.linspace(0, 3, PAIRS) if strong else None
    theirs = trl_loss(logits, center, strength)
    loss = margin if strong else bradley_terry
    mine = loss(ours(logits, strength), center=center or 0.0).mean()
    torch.testing.assert_close(mine, theirs)
    (expected,) = torch.autograd.grad(theirs, logits)
    (found,) = torch.autograd.grad(mine, logits)
    torch.testing.assert_close(found, expected)


def test_the_twin_would_notice_a_margin_on_the_wrong_side(logits):
    strength = torch.linspace(0, 3, PAIRS)
    theirs = trl_loss(logits, None, strength)
    assert not torch.allclose(margin(ours(logits, strength), scale=-1.0).mean(), theirs)
