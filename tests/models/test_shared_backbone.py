"""With adapters, policy, reward model and critic are one backbone and never in each other's way."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForSequenceClassification

import tiny
from models.families import build, forest, gradient, responses
from prefloop.config import Model
from prefloop.models.adapters import Wardrobe, Worn
from prefloop.models.load import load, load_weights, merged, weights
from prefloop.models.references import adapters_off, resident
from prefloop.models.reward import RewardModel
from prefloop.models.states import last_states
from prefloop.models.transformer import TransformerPolicy
from prefloop.models.tree import backbone

TREES = forest()
ASKED = responses(TREES)


@pytest.fixture
def folder(tmp_path):
    build("llama").save_pretrained(tmp_path / "llama")
    tiny.tokenizer().save_pretrained(tmp_path / "llama")
    return tmp_path / "llama"


@pytest.fixture
def policy(folder):
    return adapted(folder)


def here(folder, **options):
    return Model(path=str(folder), device="cpu", adapter="lora", **options)


def adapted(folder, **options):
    """A policy whose adapters have moved away from zero."""
    policy = TransformerPolicy(load(here(folder, **options)))
    shake(policy.model)
    return policy


def shake(model, seed=1):
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn_like(parameter)


def train(reward, steps=3):
    """Steps of an optimizer over what is the reward model's own."""
    optimizer = torch.optim.AdamW(reward.model.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        reward.scores(ASKED).square().sum().backward()
        optimizer.step()
    optimizer.zero_grad()


def outcome(model, values):
    model.zero_grad()
    (torch.linspace(-1, 1, len(values)) * values.view(len(values))).sum().backward()
    return values.detach(), gradient(model)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def base(model):
    """The weights under the adapters."""
    return {name: p for name, p in model.named_parameters() if "lora_" not in name}


def test_a_reward_model_added_and_trained_leaves_the_policy_bit_for_bit(policy):
    names = [name for name, _ in policy.model.named_parameters()]
    before, stored = policy.logps(ASKED).detach(), weights(policy.model)
    reward = RewardModel.of(policy, heads=2)
    scores = reward.scores(ASKED).detach()
    train(reward)
    reward.normalise(ASKED)
    assert (reward.scores(ASKED) - scores).abs().max() > 0.1
    assert torch.equal(policy.logps(ASKED).detach(), before)
    assert same(weights(policy.model), stored)
    assert [name for name, _ in policy.model.named_parameters()] == names


def test_a_policy_trained_leaves_the_reward_model_bit_for_bit(policy):
    reward = RewardModel.of(policy)
    before = reward.scores(ASKED).detach()
    shake(policy.model, seed=2)
    assert torch.equal(reward.scores(ASKED).detach(), before)


def test_there_is_one_backbone_in_memory(policy):
    """Every weight that is not an adapter's or a head's is at the same address for all three."""
    reward = RewardModel.of(policy)
    critic = reward.critic()
    own = {p.data_ptr() for p in policy.model.parameters()}
    for one in (reward, critic):
        under = {p.data_ptr() for p in base(one.loaded.model).values()}
        assert under and under <= own
        ptrs = {p.data_ptr() for p in one.model.parameters()}
        assert not ptrs & own
    trained = sum(p.numel() for p in policy.model.parameters() if p.requires_grad)
    assert sum(p.numel() for p in reward.model.parameters()) == trained + reward.head.weight.numel()


def test_weights_are_the_adapters_and_heads_of_one_alone(policy):
    reward = RewardModel.of(policy, heads=2)
    assert weights(policy.model).keys() == {n for n in weights(policy.model) if "lora_" in n}
    kept = weights(reward.model)
    assert len(kept) == len(weights(policy.model)) + 1
    assert {n for n in kept if "lora_" not in n} == {"score.weight"}
    before = reward.scores(ASKED)
    shake(reward.model)
    assert not torch.equal(reward.scores(ASKED), before)
    load_weights(reward.model, kept)
    assert torch.equal(reward.scores(ASKED), before)


def test_it_begins_as_the_policys_trunk_stands(policy):
    reward = RewardModel.of(policy)
    expected = torch.tensor(last_states(policy, ASKED))
    torch.testing.assert_close(reward.states(ASKED), expected, rtol=0, atol=0)
    full = RewardModel.of(TransformerPolicy(replaced(policy)))
    torch.testing.assert_close(reward.scores(ASKED), full.scores(ASKED), rtol=1e-4, atol=1e-5)


def replaced(policy):
    """The policy's model with its adapters merged."""
    return replace(policy.loaded, model=merged(policy.model))


def test_made_of_a_reference_it_begins_as_the_base_model_and_learns(policy):
    with adapters_off(policy) as reference:
        reward = RewardModel.of(reference)
        inside = reward.states(ASKED)
    plain = RewardModel.of(TransformerPolicy(loaded_base(policy)))
    for found in (inside, reward.states(ASKED)):
        torch.testing.assert_close(found, plain.states(ASKED), rtol=1e-5, atol=1e-5)
    before = reward.states(ASKED).detach()
    train(reward)
    assert (reward.states(ASKED) - before).abs().max() > 0.01


def loaded_base(policy):
    return replace(policy.loaded, model=build("llama"))


def test_scores_are_the_same_while_the_policys_adapters_are_off(policy):
    reward = RewardModel.of(policy)
    expected = reward.scores(ASKED).detach()
    with adapters_off(policy) as reference:
        off = reference.logps(ASKED)
        assert torch.equal(reward.scores(ASKED), expected)
        assert torch.equal(reference.logps(ASKED), off)
    assert torch.equal(reward.scores(ASKED).detach(), expected)


def test_the_reference_is_the_base_model_whatever_the_reward_learned(policy):
    expected = TransformerPolicy(loaded_base(policy)).logps(ASKED).detach()
    reward = RewardModel.of(policy)
    train(reward)
    with adapters_off(policy) as reference:
        torch.testing.assert_close(reference.logps(ASKED), expected, rtol=1e-5, atol=1e-5)


def test_what_is_trained_stays_what_is_trained(policy):
    def state():
        return {name: p.requires_grad for name, p in policy.model.named_parameters()}

    before, active = state(), policy.model.active_adapter
    reward = RewardModel.of(policy)
    reward.scores(ASKED)
    with adapters_off(policy):
        reward.values(ASKED)
    assert state() == before and policy.model.active_adapter == active
    assert all(p.requires_grad for p in reward.model.parameters())


def test_the_policys_own_adapters_are_back_even_when_the_work_inside_fails(policy):
    reward, before = RewardModel.of(policy), policy.logps(ASKED).detach()
    shake(reward.model)
    with pytest.raises(RuntimeError), reward.shared.worn():
        raise RuntimeError
    assert torch.equal(policy.logps(ASKED).detach(), before)


@pytest.mark.parametrize("is_checkpointed", [False, True])
def test_one_backward_pass_through_policy_reward_and_critic_is_three(folder, is_checkpointed):
    """Under gradient checkpointing a layer is computed again after its adapters were taken off."""
    policy = adapted(folder)
    reward = RewardModel.of(policy)
    shake(reward.model)
    critic = reward.critic()
    shake(critic.model, seed=3)
    trained = (policy, reward, critic)
    expected = [
        outcome(one.model, values)
        for one, values in zip(trained, said(policy, reward, critic), strict=True)
    ]
    if is_checkpointed:
        other = adapted(folder, gradient_checkpointing=True)
        load_weights(other.model, weights(policy.model))
        again = RewardModel.of(other)
        load_weights(again.model, weights(reward.model))
        other_critic = again.critic()
        load_weights(other_critic.model, weights(critic.model))
        policy, reward, critic = trained = other, again, other_critic
        assert calls_of_a_layer(policy, lambda: policy.logps(ASKED).sum().backward()) == 2
    for one in trained:
        one.model.zero_grad()
    total = sum(
        (torch.linspace(-1, 1, len(v)) * v.view(len(v))).sum() for v in said(policy, reward, critic)
    )
    total.backward()
    for one, (_, slope) in zip(trained, expected, strict=True):
        torch.testing.assert_close(gradient(one.model), slope, rtol=1e-4, atol=1e-4)


def said(policy, reward, critic):
    return policy.token_logps(ASKED), reward.scores(ASKED), critic.values(ASKED)


def calls_of_a_layer(policy, work):
    seen = []
    layer = backbone(policy.model).layers[0].mlp
    hook = layer.register_forward_pre_hook(lambda *_: seen.append(1))
    work()
    hook.remove()
    return len(seen)


def test_a_critic_is_independent_of_its_reward_model(policy):
    reward = RewardModel.of(policy, heads=2)
    train(reward)
    reward.normalise(ASKED)
    critic, before = reward.critic(), reward.score(ASKED)
    assert critic.score(ASKED) == pytest.approx(before, abs=1e-5)
    shake(critic.model)
    assert reward.score(ASKED) == before
    assert critic.score(ASKED) != pytest.approx(before, abs=1e-2)


def test_a_zero_critic_says_zero(policy):
    critic = RewardModel.of(policy, zero=True)
    assert critic.values(ASKED).abs().max() == 0


@pytest.mark.parametrize("heads", [1, 3])
def test_saved_it_is_an_ordinary_folder_without_adapters(policy, tmp_path, heads):
    reward = RewardModel.of(policy, heads=heads)
    train(reward)
    reward.normalise(ASKED)
    before = weights(policy.model), policy.logps(ASKED).detach(), weights(reward.model)
    reward.save(tmp_path / "saved")
    assert same(weights(policy.model), before[0]) and same(weights(reward.model), before[2])
    assert torch.equal(policy.logps(ASKED).detach(), before[1])
    model, report = AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "saved", output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    ids = [torch.tensor([[*r.prompt.tokens, *r.tokens]]) for r in ASKED]
    logits = torch.cat([model(input_ids=row).logits for row in ids])
    torch.testing.assert_close(logits * reward.gain, reward.scores(ASKED), rtol=1e-4, atol=1e-4)
    again = RewardModel.load(str(tmp_path / "saved"), settings=Model(path="x", device="cpu"))
    assert again.score(ASKED) == pytest.approx(reward.score(ASKED), abs=1e-4)


def test_a_resident_copy_of_the_policy_has_adapters_of_its_own(folder):
    policy = adapted(folder, gradient_checkpointing=True)
    reward = RewardModel.of(policy)
    before = policy.logps(ASKED).detach()
    reference = resident(policy)
    shake(policy.model, seed=4)
    train(reward)
    with reference(policy) as frozen:
        assert torch.equal(frozen.logps(ASKED), before)


class TestLoadedWithAdapters:
    """A backbone of another folder, under adapters."""

    def test_adapters_and_heads_are_all_that_is_trained(self, folder):
        reward = RewardModel.load(str(folder), settings=here(folder), fresh=2)
        frozen = {name: p.clone() for name, p in base(reward.loaded.model).items()}
        assert not any(p.requires_grad for p in base(reward.loaded.model).values())
        kept = weights(reward.model)
        assert {n for n in kept if "lora_" not in n} == {"score.weight"} and len(kept) > 1
        before = reward.scores(ASKED).detach()
        train(reward)
        assert (reward.scores(ASKED) - before).abs().max() > 0.1
        assert same({n: p.detach() for n, p in base(reward.loaded.model).items()}, frozen)
        load_weights(reward.model, kept)
        assert torch.equal(reward.scores(ASKED).detach(), before)

    def test_it_begins_as_the_folder_and_is_saved_as_one(self, folder, tmp_path):
        full = RewardModel.load(
            str(folder), settings=Model(path="x", device="cpu"), fresh=1, seed=3
        )
        reward = RewardModel.load(str(folder), settings=here(folder), fresh=1, seed=3)
        assert reward.packs
        torch.testing.assert_close(reward.scores(ASKED), full.scores(ASKED), rtol=1e-5, atol=1e-5)
        train(reward)
        reward.normalise(ASKED)
        reward.save(tmp_path / "saved")
        again = RewardModel.load(str(tmp_path / "saved"), settings=here(folder))
        assert again.score(ASKED) == pytest.approx(reward.score(ASKED), abs=1e-4)

    def test_its_critic_shares_its_backbone(self, folder):
        reward = RewardModel.load(str(folder), settings=here(folder), fresh=1)
        critic = reward.critic()
        assert critic.loaded.model is reward.loaded.model
        before = reward.score(ASKED)
        shake(critic.model)
        assert reward.score(ASKED) == before != critic.score(ASKED)


def test_adapters_on_an_embedding_are_worn_too(folder):
    """peft keeps those as bare parameters."""
    build("untied").save_pretrained(folder)
    policy = TransformerPolicy(load(here(folder, lora_targets="embed_tokens,q_proj")))
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if "lora_" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(0))
    reward, before = RewardModel.of(policy), policy.logps(ASKED).detach()
    expected = torch.tensor(last_states(policy, ASKED))
    torch.testing.assert_close(reward.states(ASKED), expected, rtol=0, atol=0)
    shake(reward.model)
    assert (reward.states(ASKED) - expected).abs().max() > 0.01
    assert torch.equal(policy.logps(ASKED).detach(), before)
    with adapters_off(policy) as reference:
        other = RewardModel.of(reference)
    plain = RewardModel.of(TransformerPolicy(replace(policy.loaded, model=build("untied"))))
    torch.testing.assert_close(other.states(ASKED), plain.states(ASKED), rtol=1e-5, atol=1e-5)


def test_a_wardrobe_puts_on_what_it_is_given(policy):
    wardrobe = Wardrobe(policy.model)
    worn, other = wardrobe.now(), wardrobe.copied()
    assert worn.parts.keys() == wardrobe.places.keys() == other.keys()
    with wardrobe.wearing(Worn(other)):
        assert all(wardrobe.now().parts[name] is other[name] for name in other)
    assert all(wardrobe.now().parts[name] is worn.parts[name] for name in other)
