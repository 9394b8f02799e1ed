"""The policy: responses in any order, any mixture of prompts, and its references."""

import logging

import pytest
import torch

import tiny
from models.families import build, forest, gradient, loaded, one_by_one, prompt, responses
from prefloop.config import Model
from prefloop.models.forest import grow
from prefloop.models.load import load, load_weights, weights
from prefloop.models.references import Stored, adapters_off, resident
from prefloop.models.transformer import TransformerPolicy
from prefloop.types import Policy, Prompt, Response

TREES = forest()


def adapted(folder):
    """A policy with LoRA adapters that have moved away from zero."""
    build("llama").save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    policy = TransformerPolicy(load(Model(path=str(folder), device="cpu", adapter="lora")))
    shake(policy.model)
    return policy


def shake(model):
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn_like(parameter)


def test_it_is_a_policy():
    assert isinstance(TransformerPolicy(loaded("llama")), Policy)


@pytest.mark.parametrize("tokens", [1, 40, 8192])
@pytest.mark.parametrize("family", ["qwen2", "sliding"])
def test_logps_are_those_of_the_plain_loop_in_the_order_asked(family, tokens):
    policy = TransformerPolicy(loaded(family), tokens=tokens)
    asked = responses(TREES)
    order = torch.randperm(len(asked), generator=torch.Generator().manual_seed(0)).tolist()
    found = policy.logps([asked[i] for i in order])
    expected = one_by_one(policy.model, TREES)
    torch.testing.assert_close(found, expected[order], rtol=1e-5, atol=1e-5)
    assert found.dtype == torch.float32
    found.sum().backward()
    assert gradient(policy.model).abs().sum() > 0


def test_responses_to_one_prompt_share_a_tree():
    trees, places = grow([r for tree in TREES for r in responses([tree])][::-1])
    assert len(trees) == len({tree.prompt for tree in TREES})
    assert sum(len(tree.responses) for tree in trees) == len(places)


def test_no_responses_have_no_logps():
    assert TransformerPolicy(loaded("llama")).logps([]).shape == (0,)


def test_a_model_that_cannot_take_trees_is_announced(caplog):
    with caplog.at_level(logging.WARNING, "prefloop"):
        policy = TransformerPolicy(loaded("sliding"))
    assert not policy.packs
    assert "learning from padded batches, not from packed trees: its attention window of 8" in (
        caplog.text
    )


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (Response(prompt=Prompt(text="hi"), text="", tokens=(5,)), "encode it first with store"),
        (Response(prompt=prompt((5,)), text=""), "an empty response to '5'"),
        (Response(prompt=prompt((5,) * 60), text="", tokens=(6,) * 5), "context of 64 .* got 65"),
    ],
)
def test_responses_without_log_probability_are_refused(response, message):
    with pytest.raises(ValueError, match=message):
        TransformerPolicy(loaded("llama")).logps([response])


def test_with_adapters_off_it_is_the_base_model_and_then_itself_again(tmp_path):
    policy = adapted(tmp_path)
    own, before = policy.logps(responses(TREES)).detach(), weights(policy.model)
    with adapters_off(policy) as reference:
        found = reference.logps(responses(TREES))
    assert reference.source == "reference" and not found.requires_grad
    torch.testing.assert_close(found, one_by_one(build("llama"), TREES), rtol=1e-5, atol=1e-5)
    assert (found - own).abs().max() > 0.1
    assert torch.equal(policy.logps(responses(TREES)), own)
    after = weights(policy.model)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_without_adapters_there_is_nothing_to_switch_off():
    with (
        pytest.raises(ValueError, match="no adapters to switch off"),
        adapters_off(TransformerPolicy(loaded("llama"))),
    ):
        pass


@pytest.mark.parametrize("is_adapted", [False, True])
def test_stored_weights_are_swapped_in_and_back_bit_for_bit(tmp_path, is_adapted):
    policy = adapted(tmp_path) if is_adapted else TransformerPolicy(loaded("llama"))
    first, then = weights(policy.model), policy.logps(responses(TREES)).detach()
    shake(policy.model)
    own, now = weights(policy.model), policy.logps(responses(TREES)).detach()
    with Stored(first, version=3)(policy) as reference:
        assert torch.equal(reference.logps(responses(TREES)), then)
        assert reference.version == 3
    after = weights(policy.model)
    assert all(torch.equal(own[name], after[name]) for name in own)
    assert torch.equal(policy.logps(responses(TREES)), now)


def test_stored_weights_go_back_out_even_when_the_work_inside_fails():
    policy = TransformerPolicy(loaded("llama"))
    first = weights(policy.model)
    shake(policy.model)
    own = weights(policy.model)
    with pytest.raises(RuntimeError), Stored(first)(policy):
        raise RuntimeError
    assert all(torch.equal(own[name], value) for name, value in weights(policy.model).items())


def test_a_resident_reference_stays_what_it_was():
    policy = TransformerPolicy(loaded("llama"))
    first, then = weights(policy.model), policy.logps(responses(TREES)).detach()
    reference = resident(policy)
    shake(policy.model)
    with reference(policy) as frozen:
        assert torch.equal(frozen.logps(responses(TREES)), then)
    load_weights(policy.model, first)
    assert torch.equal(policy.logps(responses(TREES)).detach(), then)
