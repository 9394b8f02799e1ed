"""Tokens and scores as losses are given them: any micro-batch, any order, any number of heads."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

import small
import tiny
from prefloop.config import Learn, Reward
from prefloop.learn.credit import Advantages
from prefloop.learn.facts import Facts, Row
from prefloop.learn.learner import Learner, Plan
from prefloop.learn.reward import RewardLearner
from prefloop.learn.views import Views
from prefloop.losses.ppo import ppo
from prefloop.losses.reinforce import reinforce
from prefloop.losses.reward.bradley_terry import bradley_terry
from prefloop.losses.rloo import rloo
from prefloop.losses.views.bottleneck import bottleneck
from prefloop.models.critic import ValueHead
from prefloop.models.load import Loaded, weights
from prefloop.models.reward import RewardModel
from prefloop.models.transformer import TransformerPolicy
from prefloop.models.views import ViewEncoder
from prefloop.types import Preference, Prompt, Query, Response

LOSSES = {"ppo": ppo, "ppo, shared trunk": ppo, "rloo": rloo, "reinforce": reinforce}


def policy(seed: int = 0) -> TransformerPolicy:
    """A tiny random language model as a policy."""
    loaded = Loaded(small.network(seed).train(), tiny.tokenizer(), torch.device("cpu"), 64)
    return TransformerPolicy(loaded, precision="float32")


def responses(n: int = 12) -> list[Response]:
    """Ragged responses, of which every three answer one prompt."""
    g = torch.Generator().manual_seed(0)
    draw = lambda size: tuple(torch.randint(5, 100, (size,), generator=g).tolist())
    prompts = [Prompt(text=str(i), tokens=draw(3 + 2 * i)) for i in range((n + 2) // 3)]
    return [
        Response(prompt=prompts[i // 3], text=str(i), tokens=draw(1 + (5 * i) % 7), id=f"{i}")
        for i in range(n)
    ]


def credit(rows: Sequence[Response], seed: int = 1) -> Facts:
    """Advantages, returns and an older policy's log-probabilities, at random."""
    g = torch.Generator().manual_seed(seed)
    other = policy(seed)
    found = {}
    for row in rows:
        old = other.token_logps([row]).detach()
        noise = lambda like: torch.randn(like.shape, generator=g)
        found[row.id] = Advantages(
            advantage=noise(old), old=old, value=noise(old), returns=noise(old)
        )
    return Facts(ref={}, credit=found)


def critic(name: str, of: TransformerPolicy) -> RewardModel | ValueHead | None:
    """One that is no longer zero, for a loss that has one."""
    apart = RewardModel.of(of, seed=3)
    shared = ValueHead(of)
    shared.model.load_state_dict(apart.head.state_dict())
    return {"ppo": apart, "ppo, shared trunk": shared}.get(name)


def gradient(name: str, rows: Sequence[Response], facts: Facts, tokens: int) -> dict[str, Tensor]:
    """Of one step on these rows, of the policy and of the critic."""
    of = policy()
    settings = Learn(lr=1e-2, tokens=tokens, precision="float32", max_grad_norm=None)
    learner = Learner(of, LOSSES[name], settings, critic=critic(name, of))
    list(learner.steps([*rows], facts, Plan(batches=(tuple(range(len(rows))),))))
    return {
        f"{prefix}/{key}": p.grad.clone()
        for prefix, module in learner.trained.items()
        for key, p in module.named_parameters()
        if p.grad is not None
    }


def close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert any(value.abs().max() > 1e-4 for value in expected.values())
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("name", LOSSES)
class TestAPolicyGradientStep:
    @pytest.mark.parametrize("tokens", [1, 40])
    def test_does_not_depend_on_its_micro_batches(self, name: str, tokens: int) -> None:
        rows = responses()
        facts = credit(rows)
        close(gradient(name, rows, facts, tokens), gradient(name, rows, facts, 10_000))

    def test_does_not_depend_on_the_order_of_its_rows(self, name: str) -> None:
        rows = responses()
        facts = credit(rows)
        mixed = [rows[i] for i in (7, 0, 11, 3, 5, 1, 10, 2, 8, 4, 9, 6)]
        close(gradient(name, mixed, facts, 40), gradient(name, rows, facts, 10_000))


@pytest.mark.parametrize("name", ["ppo", "ppo, shared trunk"])
def test_a_critic_has_a_rate_of_its_own(name: str) -> None:
    """Adam's first step is as long as its rate wherever there is a gradient."""
    rows, of = responses(), policy()
    settings = Learn(lr=1e-3, precision="float32", warmup=0.0, weight_decay=0.0)
    learner = Learner(of, ppo, settings, critic=critic(name, of), critic_lr=7e-3)
    before = {prefix: weights(module) for prefix, module in learner.trained.items()}
    list(learner.steps([*rows], credit(rows), Plan(batches=(tuple(range(len(rows))),))))
    rates = {}
    for prefix, module in learner.trained.items():
        moved = [(after - before[prefix][key]).abs() for key, after in weights(module).items()]
        rates[prefix] = max(float(step.max()) for step in moved)
    assert rates == pytest.approx({"": 1e-3, "critic": 7e-3}, rel=1e-3)


def test_the_first_step_on_a_rounds_own_samples_has_ratios_of_one() -> None:
    """`said_of`, which gives the old log-probabilities, finds what the step finds, tree by tree."""
    rows, of = responses(), policy()
    learner = Learner(of, rloo, Learn(tokens=40, precision="float32"), temperature=0.7)
    said = learner.stepper.said_of(rows)
    for row in rows:
        alone = of.token_logps([row], temperature=0.7)
        torch.testing.assert_close(said.rows(said.y, [row]), alone, rtol=1e-5, atol=1e-5)
    zero = lambda row: said.rows(said.y, [row])
    facts = Facts(ref={}, credit={r.id: Advantages(advantage=zero(r), old=zero(r)) for r in rows})
    plan = Plan(batches=(tuple(range(len(rows))),))
    (tally,) = learner.steps([*rows], facts, plan)
    assert tally.means()["ratio_off"] < 1e-5


def pairs() -> list[Row]:
    """Answered queries about two responses of the same prompt."""
    found = responses()
    return [
        Preference(query=Query(prompt=a.prompt, a=a, b=b, id=f"{a.id}-{b.id}"), p=p)
        for a, b, p in zip(found[::3], found[1::3], (0.9, 0.2, 1.0, 0.5), strict=True)
    ]


def reward_gradient(heads: int, tokens: int) -> tuple[Tensor, float]:
    """Of the heads' weights at the mean loss of the pairs, and that loss."""
    model = RewardModel.of(policy(), heads=heads, seed=3)
    settings = Reward(tokens=tokens, precision="float32", max_grad_norm=None)
    learner = RewardLearner(model, bradley_terry, settings)
    (tally,) = learner.steps(pairs(), Plan(batches=((0, 1, 2, 3),)))
    assert model.head.weight.grad is not None
    return model.head.weight.grad.clone(), tally.means()["loss"]


@pytest.mark.parametrize("tokens", [1, 10_000])
def test_the_loss_of_an_ensemble_is_the_mean_of_its_members(tokens: int) -> None:
    """Each head's gradient is its own loss's, over the number of heads."""
    found, loss = reward_gradient(3, tokens)
    model = RewardModel.of(policy(), heads=3, seed=3)
    losses = []
    for row in pairs():
        assert isinstance(row, Preference)
        gap = model.scores([row.query.a])[0] - model.scores([row.query.b])[0]
        losses.append(-row.p * gap.sigmoid().log() - (1 - row.p) * (-gap).sigmoid().log())
    mean = torch.stack(losses).mean()
    (expected,) = torch.autograd.grad(mean, model.head.weight)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert loss == pytest.approx(float(mean.detach()), rel=1e-5)


def views_learner() -> tuple[RewardLearner, dict[str, torch.nn.Module]]:
    """A reward model that learns from pairs and from views, and what of it is trained."""
    model = RewardModel.of(policy(), heads=2, seed=3)
    found = responses()
    views = Views(
        model=model,
        encoder=ViewEncoder(model.head.in_features, seed=5),
        loss=bottleneck,
        groups=[found[i : i + 3] for i in range(0, len(found), 3)],
        weight=0.5,
        batch=3,
        seed=7,
        round=2,
    )
    settings = Reward(lr=1e-2, anchor=0.3, batch=2, epochs=3, precision="float32")
    learner = RewardLearner(model, bradley_terry, settings, terms={"views": views})
    return learner, dict(learner.trained)


def state(parts: dict[str, Any]) -> dict[str, Tensor]:
    return {
        f"{prefix}/{name}": p.detach().clone()
        for prefix, module in parts.items()
        for name, p in module.named_parameters()
    }


@pytest.mark.parametrize("done", [0, 1, 4])
def test_reward_training_with_views_goes_on_bit_for_bit(done: int) -> None:
    """Which samples are seen, the codes' noise and the prior's centre are those of the step."""
    rows = pairs()
    whole, parts = views_learner()
    plan = Plan.of(range(len(rows)), whole.settings, seed=1, round=2)
    list(whole.steps(rows, plan))
    first, halfway = views_learner()
    steps = first.steps(rows, plan)
    for _ in range(done):
        next(steps)
    moments, kept = first.state_dict(), state(halfway)
    second, resumed = views_learner()
    with torch.no_grad():
        for prefix, module in resumed.items():
            for name, p in module.named_parameters():
                p.copy_(kept[f"{prefix}/{name}"])
    second.load_state_dict(moments)
    list(second.steps(rows, plan, done=done))
    expected, found = state(parts), state(resumed)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_views_differ_from_step_to_step_and_are_of_one_prompt() -> None:
    learner, _ = views_learner()
    views = learner.terms["views"]
    assert isinstance(views, Views)
    seen = []
    for step in range(4):
        found = views.pairs(step)
        assert all(a.prompt == b.prompt and a.id != b.id for a, b in found)
        assert len({a.prompt.text for a, _ in found}) == len(found) == 3
        seen.append([(a.id, b.id) for a, b in found])
    assert len({tuple(one) for one in seen}) > 1
    assert [(a.id, b.id) for a, b in views.pairs(0)] == seen[0]
