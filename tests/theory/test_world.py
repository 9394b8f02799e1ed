"""Finite worlds, and the policies over them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from prefloop.learn.facts import Facts
from prefloop.learn.learner import Learner
from prefloop.theory import closed
from prefloop.theory.claim import dice, normal
from prefloop.theory.fit import minimise
from prefloop.theory.tabular import Head, Linear, Table, TabularPolicy, Tokens
from prefloop.theory.world import (
    World,
    bradley_terry_world,
    preference_world,
    random_world,
    sequence_world,
    sequences,
)
from prefloop.types import Policy, SamplingSettings, Scorer

pytestmark = pytest.mark.usefixtures("float64")


def featured(prompts: int = 2, responses: int = 4, features: int = 3) -> World:
    g = dice(1)
    phi = normal(g, prompts, responses, features)
    return bradley_terry_world(
        normal(g, prompts, responses), phi @ torch.tensor([1.0, -2.0, 0.5]), features=phi
    )


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def draws(policy: TabularPolicy, n: int, **settings: float) -> torch.Tensor:
    """How often each response to prompt 0 was drawn, of n."""
    prompt = policy.world.prompts[:1]
    ((*drawn,),) = policy.sample(prompt, n=n, settings=SamplingSettings(**settings), rng=rng())
    places = torch.tensor([policy.world.place(r)[1] for r in drawn])
    return torch.bincount(places, minlength=len(policy.world.tokens)).double()


def test_there_are_fifteen_texts_of_at_most_three_tokens_from_a_vocabulary_of_three():
    texts = sequences(3, 3)
    assert len(set(texts)) == 15
    assert {len(t) for t in texts} == {1, 2, 3}
    assert all(t[-1] == 2 or len(t) == 3 for t in texts)


@pytest.mark.parametrize(("vocabulary", "length", "count"), [(2, 4, 5), (4, 2, 13), (3, 1, 3)])
def test_the_number_of_texts_is_the_geometric_sum(vocabulary, length, count):
    assert len(sequences(vocabulary, length)) == count


def test_a_text_is_as_likely_as_its_tokens_together():
    table = normal(dice(2), 3, 3)
    world = sequence_world(table, torch.zeros(15))
    assert world.prior.exp().sum().item() == pytest.approx(1)
    step = table.softmax(-1)
    aba = step[0, 0] * step[1, 1] * step[2, 0]
    y = world.tokens.index((0, 1, 0))
    assert world.prior[0, y].exp().item() == pytest.approx(aba.item())


def test_a_world_of_rewards_is_a_scorer_and_one_of_preferences_is_not():
    world = featured()
    assert isinstance(world, Scorer)
    assert world.score([world.response(1, 2)]) == [float(world.reward[1, 2])]
    plain = preference_world(world.prior, world.preference)
    with pytest.raises(ValueError, match="no reward"):
        plain.score([plain.response(0, 0)])


def test_what_is_no_world_is_refused():
    world = featured()
    with pytest.raises(ValueError, match="log-probabilities"):
        replace(world, prior=world.prior + 0.1)
    with pytest.raises(ValueError, match="must be 1"):
        replace(world, preference=world.preference**2)


def test_all_ordered_pairs_are_listed_with_their_labels():
    world = featured()
    y = world.pairs(world.prior)
    assert y.p.shape == (2 * 4 * 4,)
    torch.testing.assert_close(y.margin, torch.zeros_like(y.p))
    torch.testing.assert_close(y.p.reshape(2, 4, 4), world.preference)
    torch.testing.assert_close(y.ref_a.reshape(2, 4, 4)[:, :, 0], world.prior)


def models(world: World) -> list[torch.nn.Module]:
    return [Table(world), Linear(world), Head(world)]


def test_every_policy_starts_at_the_prior():
    world = featured()
    for model in models(world):
        policy = TabularPolicy(world, model)
        assert isinstance(policy, Policy)
        torch.testing.assert_close(policy.table(), world.prior)
    table = normal(dice(3), 3, 3)
    texts = sequence_world(table, torch.zeros(15))
    torch.testing.assert_close(TabularPolicy(texts, Tokens(texts, table)).table(), texts.prior)


@pytest.mark.parametrize("kind", range(3))
def test_log_probabilities_are_differentiable_and_in_the_order_asked(kind):
    world = featured()
    policy = TabularPolicy(world, models(world)[kind])
    asked = [world.response(1, 2), world.response(0, 0), world.response(1, 2)]
    logps = policy.logps(asked)
    assert logps.dtype == torch.float64
    torch.testing.assert_close(logps.detach(), world.prior[[1, 0, 1], [2, 0, 2]])
    logps.sum().backward()
    grads = [p.grad for p in policy.model.parameters() if p.grad is not None]
    assert any(g.abs().max() > 0 for g in grads)


def test_the_gradient_of_a_log_probability_is_one_minus_the_law():
    world = featured(prompts=1)
    policy = TabularPolicy(world)
    policy.logps([world.response(0, 1)]).sum().backward()
    expected = torch.eye(4)[1] - world.prior[0].exp()
    torch.testing.assert_close(policy.model.logits.grad[0], expected)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_samples_follow_the_law_at_their_temperature(temperature):
    """Each count is within five standard errors of its binomial mean."""
    world = random_world(dice(4), responses=5)
    law = (world.prior[0] / temperature).softmax(0)
    n = 20_000
    counts = draws(TabularPolicy(world), n, temperature=temperature)
    assert ((counts - n * law).abs() < 5 * (n * law * (1 - law)).sqrt()).all()


def test_a_sample_knows_who_drew_it_and_how_likely_it_was():
    world = featured()
    policy = TabularPolicy(world, version=3, source="reference")
    settings = SamplingSettings(temperature=2.0)
    groups = policy.sample(world.prompts, n=4, settings=settings, rng=rng())
    assert [[r.prompt for r in g] for g in groups] == [[p] * 4 for p in world.prompts]
    tempered = (world.prior / 2).log_softmax(-1)
    for drawn in (r for group in groups for r in group):
        assert (drawn.source, drawn.policy_version) == ("reference", 3)
        assert drawn.logp == pytest.approx(float(world.prior[world.place(drawn)]))
        assert drawn.logp_sampling == pytest.approx(float(tempered[world.place(drawn)]))


def test_settings_the_lab_cannot_honour_are_refused():
    policy = TabularPolicy(sequence_world(torch.zeros(3, 3), torch.zeros(15)))
    with pytest.raises(ValueError, match="top_p must be 1"):
        draws(policy, 1, top_p=0.9)
    with pytest.raises(ValueError, match="at least 3"):
        draws(policy, 1, max_new_tokens=2)
    with pytest.raises(ValueError, match="features"):
        Linear(policy.world)


def test_a_linear_reward_has_its_optimum_among_the_linear_policies():
    """π* = π₀ exp(⟨w, φ⟩/β)/Z is log-linear: θ = w/β leaves no gap."""
    world = featured()
    model = Linear(world)
    law = lambda theta: (world.prior + model.features @ theta).log_softmax(-1)
    lost = lambda theta: closed.gap(law(theta), world.prior, world.reward, 0.5).sum()
    theta = minimise(lost, torch.zeros(3))
    torch.testing.assert_close(theta, torch.tensor([2.0, -4.0, 1.0]))


def test_the_learner_of_the_package_takes_every_model():
    from prefloop.config import Learn
    from prefloop.learn.learner import Plan
    from prefloop.losses.dpo import dpo
    from prefloop.types import Preference, Query

    world = featured()
    a, b = world.response(0, 0), world.response(0, 1)
    row = Preference(query=Query(prompt=a.prompt, a=a, b=b), p=1.0)
    ref = {r.id: float(world.prior[world.place(r)]) for r in (a, b)}
    settings = Learn(lr=0.1, precision="float32", max_grad_norm=None)
    for model in models(world):
        policy = TabularPolicy(world, model)
        before = (policy.logps([a]) - policy.logps([b])).item()
        plan = Plan.of(range(1), settings, 0, 1)
        (tally, *_) = Learner(policy, dpo, settings).steps([row], Facts(ref=ref), plan)
        after = (policy.logps([a]) - policy.logps([b])).item()
        assert after > before + 0.01
        assert tally.means()["loss"] == pytest.approx(np.log(2))


def test_one_seed_draws_one_sample():
    policy = TabularPolicy(random_world(dice(5)))
    assert torch.equal(draws(policy, 50), draws(policy, 50))


def test_every_response_needs_tokens_of_its_own():
    with pytest.raises(ValueError, match="2 responses needs tokens of its own, got 1"):
        preference_world(torch.zeros(1, 2), torch.full((1, 2, 2), 0.5), tokens=[(0,), (0,)])
