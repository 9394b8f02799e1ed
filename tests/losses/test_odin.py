"""ODIN: its terms as published, the batch's slope however it is cut, what its heads rest at."""

from dataclasses import replace
from itertools import combinations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from prefloop.batches import SplitScores, detached
from prefloop.losses.reward.odin import odin


def scores(a: Tensor, b: Tensor, p: Tensor, len_a: Tensor, len_b: Tensor) -> SplitScores:
    y = SplitScores(a=a, b=b, p=p, len_a=len_a, len_b=len_b)
    return replace(y, whole=detached(y))


def drawn(n: int = 12) -> tuple[Tensor, ...]:
    g = torch.Generator().manual_seed(3)
    a, b = (torch.randn(n, 2, generator=g) for _ in range(2))
    len_a, len_b = (torch.randint(1, 30, (n,), generator=g).to(a.dtype) for _ in range(2))
    return a, b, torch.rand(n, generator=g), len_a, len_b


def published(a: Tensor, b: Tensor, p: Tensor, len_a: Tensor, len_b: Tensor) -> Tensor:
    """The loss of a batch, with torch's own correlations."""
    gap = (a - b).sum(1)
    rank = (-p * logsigmoid(gap) - (1 - p) * logsigmoid(-gap)).mean()
    said, lengths = torch.cat([a, b]).T, torch.cat([len_a, len_b])
    rho = torch.corrcoef(torch.stack([*said, lengths]))[2]
    return rank + 1 - rho[1] + rho[0].abs()


def test_the_mean_is_the_published_loss_and_so_is_its_slope():
    a, b, *rest = drawn()
    a, b = a.requires_grad_(), b.requires_grad_()
    mine, theirs = odin(scores(a, b, *rest)).mean(), published(a, b, *rest)
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)
    for found, expected in zip(
        torch.autograd.grad(mine, [a, b]), torch.autograd.grad(theirs, [a, b]), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_a_batch_that_is_cut_has_the_slope_of_the_whole():
    a, b, p, len_a, len_b = drawn()
    a.requires_grad_()
    y = scores(a, b, p, len_a, len_b)
    parts = [
        odin(
            SplitScores(a=a[s], b=b[s], p=p[s], len_a=len_a[s], len_b=len_b[s], whole=y.whole)
        ).sum()
        for s in (slice(0, 5), slice(5, 12))
    ]
    (cut,) = torch.autograd.grad((parts[0] + parts[1]) / 12, [a])
    (whole,) = torch.autograd.grad(published(a, b, p, len_a, len_b), [a])
    torch.testing.assert_close(cut, whole, rtol=0, atol=1e-12)


def test_heads_or_lengths_without_spread_have_no_correlation():
    a, b, p, len_a, _ = drawn()
    same = torch.full_like(len_a, 7)
    y = scores(a, b, p, same, same)
    gap = (a - b).sum(1)
    rank = -p * logsigmoid(gap) - (1 - p) * logsigmoid(-gap)
    torch.testing.assert_close(odin(y), rank + 1)
    torch.testing.assert_close(odin(y, length=0.0), rank)


class TestQualityIsWhatAnswersSayBeyondLength:
    """Answers of odds exp(2 Δq + Δl), qualities and lengths crossed: r_Q = 2 q and r_L = l.

    Then the answers cost their entropy, ρ(r_L, l) is 1 and ρ(r_Q, l) is 0: no term can be less.
    Bradley–Terry's one head is the sum: it likes length.
    """

    levels = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
    points = torch.cartesian_prod(levels, levels)  # (quality, length)
    first, second = torch.tensor([*combinations(range(9), 2)]).T
    x, z = points[first], points[second]
    p = torch.sigmoid((x - z) @ torch.tensor([2.0, 1.0], dtype=torch.float64))
    entropy = (-p * p.log() - (1 - p) * (1 - p).log()).mean()

    def loss(self, heads: Tensor) -> Tensor:
        """Of heads linear in quality and length, a column each."""
        lengths = self.x[:, 1] + 5, self.z[:, 1] + 5
        return odin(scores(self.x @ heads, self.z @ heads, self.p, *lengths)).mean()

    def test_it_costs_the_least_there_can_be(self):
        torch.testing.assert_close(self.loss(torch.diag(torch.tensor([2.0, 1.0]))), self.entropy)

    @pytest.mark.parametrize("share", [-0.3, 0.1, 0.5, 0.9, 1.0])
    def test_any_other_way_to_part_the_sum_costs_more(self, share):
        parted = torch.tensor([[2.0, 0.0], [share, 1 - share]])
        assert self.loss(parted) > self.entropy + 0.04

    def test_steps_go_there(self):
        heads = torch.tensor([[0.3, 0.1], [0.6, 0.4]], requires_grad=True)
        optimizer = torch.optim.Adam([heads], lr=0.05)
        slower = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, 800)
        for _ in range(800):
            optimizer.zero_grad()
            self.loss(heads).backward()
            optimizer.step()
            slower.step()
        expected = torch.diag(torch.tensor([2.0, 1.0]))
        torch.testing.assert_close(heads.detach(), expected, rtol=0, atol=0.02)


def test_it_asks_for_the_whole_batch():
    with pytest.raises(ValueError, match="odin needs whole"):
        odin(replace(scores(*drawn()), whole=None))
