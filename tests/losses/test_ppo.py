"""PPO by published numbers and by what its clips do."""

from dataclasses import replace
from math import sqrt

import pytest
import torch
from torch import Tensor

from prefloop.batches import TokenLogps
from prefloop.config import Credit
from prefloop.learn.credit import gae, token_rewards, whiten
from prefloop.losses.ppo import ppo
from prefloop.losses.reinforce import reinforce
from worlds import tokens

close = torch.testing.assert_close
PAD = 1.0


def batch(**columns: Tensor) -> TokenLogps:
    """Rows of equal length, flattened; what is not given is zero."""
    first = next(iter(columns.values()))
    rows, time = first.shape
    zero = torch.zeros(rows * time)
    flat = {name: column.flatten() for name, column in columns.items()}
    names = ("y", "old", "advantage", "value", "old_value", "returns")
    return TokenLogps(
        response=torch.arange(rows).repeat_interleave(time),
        mean_length=torch.tensor(float(time)),
        **{name: flat.get(name, zero) for name in names},
    )


class TestTrl:
    """Its PPO block on two responses of four and five tokens: the score stands at the padding."""

    logp = ((-1.0, -0.5, -2.0, -0.7, PAD), (-0.3, -1.5, -0.9, -1.1, -0.4))
    ref = ((-1.2, -0.4, -1.6, -0.9, PAD), (-0.5, -1.2, -1.0, -1.4, -0.3))
    values = ((0.1, 0.2, 0.15, 0.3, 0.25), (0.0, -0.1, 0.2, 0.1, 0.05))
    moved = ((0.1, -0.3, 0.25, 0.05, 0.0), (-0.4, 0.02, 0.3, -0.1, 0.15))
    critic_moved = ((0.3, -0.1, 0.05, -0.4, 0.1), (0.02, 0.25, -0.3, 0.1, 0.0))

    @pytest.fixture
    def y(self) -> TokenLogps:
        logp, ref, values = map(torch.tensor, (self.logp, self.ref, self.values))
        scored = zip((1.5, -0.4), logp - ref, strict=True)
        rewards = torch.stack([token_rewards(s, x, True, Credit(), 0.05) for s, x in scored])
        advantages, returns = gae(rewards, values, 1.0, 0.95)
        white = torch.zeros(2, 5)
        white[self.tokens()] = whiten(advantages[self.tokens()])
        return batch(
            y=logp + torch.tensor(self.moved),
            old=logp,
            advantage=white,
            value=values + torch.tensor(self.critic_moved),
            old_value=values,
            returns=returns,
        )

    @staticmethod
    def tokens() -> Tensor:
        """Where TRL takes the mean of the policy's loss; of the critic's, one place further."""
        counts = torch.ones(2, 5, dtype=torch.bool)
        counts[0, 4] = False
        return counts

    def test_the_published_loss_of_the_policy(self, y):
        mean = ppo(y, value_weight=0.0)[self.tokens().flatten()].mean()
        close(mean, torch.tensor(0.01679710), rtol=0, atol=5e-9)

    def test_the_published_loss_of_the_critic(self, y):
        still = replace(y, advantage=torch.zeros(10))
        close(ppo(still, value_weight=1.0).mean(), torch.tensor(0.42780611), rtol=0, atol=5e-9)

    def test_the_published_total(self, y):
        policy = ppo(y, value_weight=0.0)[self.tokens().flatten()].mean()
        critic = ppo(replace(y, advantage=torch.zeros(10))).mean()
        close(policy + critic, torch.tensor(0.05957771), rtol=0, atol=5e-9)


class TestAlpacaFarm:
    """Its own quirks: the KL cut at 0, whitening and means over padding, a biased deviation."""

    @pytest.fixture
    def ratio(self) -> Tensor:
        i, t = torch.arange(8.0)[:, None], torch.arange(3.0)
        return (-0.5 - 0.1 * t - 0.05 * i) - (-0.6 + 0.05 * t - 0.04 * i)

    @pytest.fixture
    def rewards(self, ratio) -> Tensor:
        lengths = [3, 2, 3, 3, 3, 1, 3, 3]
        found = torch.zeros(8, 3)
        for i, n in enumerate(lengths):
            found[i] = token_rewards(0.0, ratio[i].clamp(min=0), True, Credit(), 0.0067)
            cut = ratio[i, :n].clamp(min=0)
            found[i, :n] = token_rewards(0.25 * i - 0.5, cut, True, Credit(), 0.0067)
        return found

    @pytest.fixture
    def y(self, rewards) -> TokenLogps:
        i, t = torch.arange(8.0)[:, None], torch.arange(3.0)
        logp, values = -0.5 - 0.1 * t - 0.05 * i, 0.1 * i - 0.05 * t
        white = biased(rewards) + rewards.mean()
        advantages, returns = gae(white, values, 1.0, 1.0)
        return batch(
            y=logp + 0.3 * torch.sin(i + 2 * t),
            old=logp,
            advantage=biased(advantages),
            value=values + 0.25 * torch.cos(i - t),
            old_value=values,
            returns=returns,
        )

    def test_the_published_kl(self, ratio):
        close(ratio.mean(), torch.tensor(-0.085))
        close(ratio.clamp(min=0).mean(), torch.tensor(0.02166667), rtol=0, atol=5e-9)

    def test_the_published_rewards(self, rewards):
        expected = [[-0.00067, 0, -0.5], [-0.000603, -0.25, 0], [0.749665, 0, 0]]
        close(rewards[[0, 1, 5]], torch.tensor(expected))

    def test_the_published_advantages_and_returns(self, y):
        close(
            y.advantage.view(8, 3)[[0, 7]],
            torch.tensor(
                [[-1.6268361, -1.42589029, -1.226326], [1.44130003, 1.64127879, 1.84084306]]
            ),
            rtol=0,
            atol=5e-8,
        )
        close(
            y.returns.view(8, 3)[[0, 7]],
            torch.tensor(
                [[-1.95926628, -1.74940657, -1.54133342], [2.70839528, 2.9170044, 3.12507755]]
            ),
            rtol=0,
            atol=5e-8,
        )

    def test_the_published_losses(self, y):
        critic = ppo(replace(y, advantage=torch.zeros(24)), value_weight=1.0)
        found = [ppo(y).mean(), ppo(y, value_weight=0.0).mean(), critic.mean()]
        expected = torch.tensor([0.12569593, 0.04004275, 0.85653177])
        close(torch.stack(found), expected, rtol=0, atol=5e-8)

    def test_the_published_share_that_is_clipped(self, y):
        leaf = y.y.clone().requires_grad_()
        (slope,) = torch.autograd.grad(ppo(replace(y, y=leaf)).sum(), leaf)
        assert float((slope == 0).double().mean()) == pytest.approx(1 / 3)


def biased(values: Tensor) -> Tensor:
    """Whitened by the standard deviation over n instead of n − 1."""
    n = values.numel()
    return (whiten(values.flatten()) * sqrt(n / (n - 1))).view_as(values)


def plain(y: TokenLogps, clip: float, value_clip: float, weight: float) -> list[float]:
    """The two losses of one token after the other."""
    found = []
    columns = (y.y, y.old, y.advantage, y.value, y.old_value, y.returns)
    for logp, old, gain, v, v_old, target in zip(*(c.tolist() for c in columns), strict=True):
        ratio = 2.718281828459045 ** (logp - old)
        policy = max(-gain * ratio, -gain * min(max(ratio, 1 - clip), 1 + clip))
        near = min(max(v, v_old - value_clip), v_old + value_clip)
        found.append(policy + weight * max((v - target) ** 2, (near - target) ** 2) / 2)
    return found


@pytest.mark.parametrize(("clip", "value_clip", "weight"), [(0.2, 0.2, 0.1), (0.4, 1.0, 0.5)])
def test_it_is_the_plain_formula(clip, value_clip, weight):
    y = tokens(spread=0.5)
    found = ppo(y, clip=clip, value_clip=value_clip, value_weight=weight)
    close(found, torch.tensor(plain(y, clip, value_clip, weight)))


def slopes(y: TokenLogps, **options: float) -> tuple[Tensor, Tensor]:
    leaf, value = y.y.clone().requires_grad_(), y.value.clone().requires_grad_()
    loss = ppo(replace(y, y=leaf, value=value), **options).sum()
    return torch.autograd.grad(loss, (leaf, value))


def test_on_the_first_step_its_gradient_is_reinforces_over_the_mean_length():
    y = tokens()
    y = replace(y, old=y.y)
    leaf = y.y.clone().requires_grad_()
    (expected,) = torch.autograd.grad(reinforce(replace(y, y=leaf)).sum(), leaf)
    close(slopes(y)[0] * y.mean_length, expected)


@pytest.mark.parametrize("gain", [1.0, -1.0])
def test_a_token_is_left_alone_only_beyond_the_clip_in_the_direction_of_its_push(gain):
    ratio = torch.tensor([[0.5, 0.79, 0.81, 1.19, 1.21, 2.0]])
    y = batch(y=ratio.log(), advantage=torch.full_like(ratio, gain))
    alone = slopes(y)[0] == 0
    close(alone, (ratio > 1.2)[0] if gain > 0 else (ratio < 0.8)[0])


def test_the_critic_moves_to_the_return_unless_it_moved_that_way_already():
    value = torch.tensor([[0.0, 0.1, 0.3, -0.3]])
    y = batch(y=torch.zeros(1, 4), value=value, returns=torch.ones(1, 4))
    _, slope = slopes(y, value_weight=1.0)
    close(slope, torch.tensor([-1.0, -0.9, 0.0, -1.3]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("far", [1e4, -1e4])
@pytest.mark.parametrize("gain", [1.0, -1.0])
def test_far_from_the_old_policy_it_is_finite_and_still_pulls_back(dtype, far, gain):
    """Up where a good token vanished, down where a bad one is certain, else nothing is left to do:
    the first is at rest too, since e^−10000 is zero."""
    y = batch(y=torch.full((1, 1), far), advantage=torch.full((1, 1), gain))
    y = replace(y, **{k: v.to(dtype) for k, v in vars(y).items() if v.is_floating_point()})
    (slope, _) = slopes(y)
    assert slope.isfinite() and ppo(y).isfinite()
    assert (slope > 0) == (far > 0 and gain < 0)


def test_the_ratio_is_exact_where_learning_happens():
    log_ratio = torch.linspace(-20, 20, 9)[None]
    y = batch(y=log_ratio, advantage=-torch.ones_like(log_ratio))
    close(slopes(y, clip=1.0)[0], log_ratio[0].exp(), rtol=1e-12, atol=1e-12)


def test_without_a_critic_it_says_what_to_do():
    with pytest.raises(ValueError, match=r"needs a critic's values.*got None.*rloo"):
        ppo(replace(tokens(), value=None))
