"""RLOO and REINFORCE: plain loops, TRL, and gradients over everything that could be sampled."""

from collections import defaultdict
from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from prefloop.batches import TokenLogps
from prefloop.config import Credit
from prefloop.learn.credit import credit
from prefloop.losses.ppo import ppo
from prefloop.losses.reinforce import reinforce
from prefloop.losses.rloo import rloo
from worlds import tokens

close = torch.testing.assert_close


def one_advantage(y: TokenLogps) -> TokenLogps:
    """The first token's advantage for all tokens of a response."""
    return replace(y, advantage=y.advantage[torch.searchsorted(y.response, y.response)])


def by_response(y: TokenLogps) -> list[tuple[list[float], list[float], float]]:
    """log π, log π_old and the advantage of one response after the other."""
    found = []
    for i in range(int(y.response.max()) + 1):
        mine = y.response == i
        gain = float(y.advantage[mine][0])
        found.append((y.y[mine].tolist(), y.old[mine].tolist(), gain))
    return found


@pytest.mark.parametrize("clip", [0.2, 0.5])
def test_the_mean_of_rloo_over_tokens_is_the_mean_over_responses(clip):
    y = one_advantage(tokens(spread=0.2))
    losses = []
    for logp, old, gain in by_response(y):
        ratio = 2.718281828459045 ** (sum(logp) - sum(old))
        losses.append(max(-gain * ratio, -gain * min(max(ratio, 1 - clip), 1 + clip)))
    close(rloo(y, clip=clip).mean(), torch.tensor(losses).mean())


def test_the_mean_of_reinforce_over_tokens_is_the_mean_over_responses_of_sums():
    y = one_advantage(tokens())
    losses = [-gain * sum(logp) for logp, _, gain in by_response(y)]
    close(reinforce(y).mean(), torch.tensor(losses).mean())


def test_on_the_first_step_rloo_has_reinforces_gradient():
    y = one_advantage(tokens())
    y = replace(y, old=y.y)
    leaf = y.y.clone().requires_grad_()
    mine, expected = (torch.autograd.grad(f(replace(y, y=leaf)).sum(), leaf) for f in LIGHT)
    close(mine, expected)


LIGHT = (rloo, reinforce)


def test_of_responses_of_one_token_rloo_is_ppo_without_its_critic():
    y = tokens(spread=0.5)
    y = replace(y, response=torch.arange(len(y.y)), mean_length=torch.tensor(1.0))
    close(rloo(y), ppo(y, value_weight=0.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("far", [1e4, -1e4])
@pytest.mark.parametrize("gain", [1.0, -1.0])
def test_far_from_the_old_policy_rloo_is_finite_and_still_pulls_back(dtype, far, gain):
    far, gain, zero = (torch.full((300,), x, dtype=dtype) for x in (far, gain, 0.0))
    y = TokenLogps(
        y=far.requires_grad_(),
        old=zero,
        advantage=gain,
        response=torch.zeros(300, dtype=torch.long),
        mean_length=gain.new_tensor(300.0),
    )
    loss = rloo(y)
    (slope,) = torch.autograd.grad(loss.sum(), y.y)
    assert loss.isfinite().all() and slope.isfinite().all()
    assert bool((slope > 0).all()) == (float(far[0].detach()) > 0 and float(gain[0]) < 0)


class TestTrl:
    """`RLOOTrainer._compute_loss` as it is, on a trainer with only what it looks at."""

    rows, time = 6, 8

    @pytest.fixture
    def world(self) -> SimpleNamespace:
        g = torch.Generator().manual_seed(5)
        lengths = torch.randint(1, self.time + 1, (self.rows,), generator=g)
        counts = torch.arange(self.time) < lengths[:, None]
        logp = -torch.rand(self.rows, self.time, generator=g)
        return SimpleNamespace(
            counts=counts,
            lengths=lengths,
            logp=logp.requires_grad_(),
            old=logp.detach() + 0.1 * torch.randn(self.rows, self.time, generator=g),
            advantage=torch.randn(self.rows, generator=g),
        )

    @staticmethod
    def theirs(world: SimpleNamespace) -> Tensor:
        trl = pytest.importorskip("trl")
        same = lambda x, **_: x
        entropies = torch.zeros_like(world.logp)
        trainer = SimpleNamespace(
            model=SimpleNamespace(training=True),
            accelerator=SimpleNamespace(gather=same, reduce=same, gather_for_metrics=same),
            aux_loss_enabled=False,
            epsilon_low=0.2,
            epsilon_high=0.2,
            _metrics={"train": defaultdict(list)},
            _get_per_token_logps_and_entropies=lambda *_, **__: (world.logp, entropies, None),
        )
        ids = torch.zeros(world.logp.shape, dtype=torch.long)
        inputs = {
            "prompt_ids": ids,
            "prompt_mask": torch.ones_like(ids),
            "completion_ids": ids,
            "completion_mask": world.counts.long(),
            "old_logps": (world.old * world.counts).sum(1),
            "advantages": world.advantage,
        }
        found: Tensor = trl.RLOOTrainer._compute_loss(trainer, None, inputs)
        return found

    @staticmethod
    def ours(world: SimpleNamespace) -> Tensor:
        rows = torch.arange(len(world.lengths))
        return rloo(
            TokenLogps(
                y=world.logp[world.counts],
                old=world.old[world.counts],
                advantage=world.advantage.repeat_interleave(world.lengths),
                response=rows.repeat_interleave(world.lengths),
                mean_length=world.lengths.double().mean(),
            )
        ).mean()

    def test_it_computes_the_same_value_and_gradient(self, world):
        mine, theirs = self.ours(world), self.theirs(world)
        close(mine, theirs)
        (found,) = torch.autograd.grad(mine, world.logp)
        (expected,) = torch.autograd.grad(theirs, world.logp)
        close(found, expected)
        assert (expected != 0).any() and (expected[world.counts] == 0).any()


TEXTS = ((2,), (0, 2), (1, 2), (0, 0), (0, 1), (1, 0), (1, 1))
"""every text of at most two tokens; token 2 ends it"""


def token_logps(table: Tensor, text: tuple[int, ...]) -> Tensor:
    """log π of each token; the second depends on the first."""
    states = (0, *(t + 1 for t in text[:-1]))
    return torch.stack([table[s].log_softmax(0)[t] for s, t in zip(states, text, strict=True)])


class TestOverEverythingThatCouldBeSampled:
    """The expected gradient of a round's first step is that of E r − β KL, exactly."""

    beta = 0.3

    @pytest.fixture
    def tables(self) -> tuple[Tensor, Tensor]:
        g = torch.Generator().manual_seed(0)
        return torch.randn(3, 3, generator=g), torch.randn(3, 3, generator=g)

    @pytest.fixture
    def reward(self) -> Tensor:
        return torch.randn(7, generator=torch.Generator().manual_seed(1))

    def truth(self, table: Tensor, prior: Tensor, reward: Tensor) -> Tensor:
        leaf = table.clone().requires_grad_()
        logp, ref = (
            torch.stack([token_logps(t, text).sum() for text in TEXTS]) for t in (leaf, prior)
        )
        objective = logp.exp() @ (reward - self.beta * (logp - ref))
        (slope,) = torch.autograd.grad(objective, leaf)
        return slope

    def descent(self, loss, table, prior, reward, picks, estimator, kind="k1") -> Tensor:
        """−∇ of the loss's expectation over these equally large groups of texts."""
        leaf = table.clone().requires_grad_()
        drawn = [place for group in picks for place in group]
        new = [token_logps(leaf, TEXTS[i]) for i in drawn]
        old = [x.detach() for x in new]
        found, _ = credit(
            reward[torch.tensor(drawn)].tolist(),
            old,
            [token_logps(prior, TEXTS[i]) for i in drawn],
            values=None,
            prompts=[name for name, group in enumerate(picks) for _ in group],
            finished=[True] * len(drawn),
            settings=Credit(estimator=estimator, whiten=False, kl=kind),
            beta=self.beta,
        )
        lengths = torch.tensor([len(x) for x in new])
        mean_length = lengths.double().mean()
        values = loss(
            TokenLogps(
                y=torch.cat(new),
                old=torch.cat(old),
                advantage=torch.cat([a.advantage for a in found]),
                response=torch.arange(len(drawn)).repeat_interleave(lengths),
                mean_length=mean_length,
            )
        )
        whole = torch.stack([x.sum() for x in old]).view(len(picks), -1)
        chance = whole.sum(1).exp().repeat_interleave(len(picks[0])).repeat_interleave(lengths)
        (slope,) = torch.autograd.grad((chance * values).sum() / mean_length, leaf)
        return -slope / len(picks[0])

    @pytest.mark.parametrize("loss", [rloo, reinforce])
    def test_leave_one_out(self, tables, reward, loss):
        pairs = list(product(range(7), repeat=2))
        found = self.descent(loss, *tables, reward, pairs, "leave_one_out")
        close(found, self.truth(*tables, reward))

    def test_what_is_still_to_come(self, tables, reward):
        """The KL of tokens before a token is no business of its."""
        found = self.descent(reinforce, *tables, reward, [(i,) for i in range(7)], "none")
        close(found, self.truth(*tables, reward))

    def test_a_response_as_one_action(self, tables, reward):
        found = self.descent(rloo, *tables, reward, [(i,) for i in range(7)], "none")
        close(found, self.truth(*tables, reward))

    @pytest.mark.parametrize("kind", ["k2", "k3"])
    def test_other_estimates_in_the_reward_have_another_gradient(self, tables, reward, kind):
        found = self.descent(rloo, *tables, reward, [(i,) for i in range(7)], "none", kind)
        assert not torch.allclose(found, self.truth(*tables, reward), atol=1e-2)
