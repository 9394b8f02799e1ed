"""The weights rollouts are drawn from."""

import numpy as np
import pytest
import torch

import tiny
from models.families import build, forest, loaded, one_by_one, prompt
from prefloop.config import Model
from prefloop.generate.copies import rollout_copy
from prefloop.models.load import load
from prefloop.models.transformer import TransformerPolicy
from prefloop.types import SamplingSettings


def test_the_same_precision_needs_no_copy_and_training_mode_comes_back():
    model = build("llama").train()
    with rollout_copy(model, "float32") as sampler:
        assert sampler is model and not model.training
    assert model.training


def test_a_bfloat16_copy_is_near_and_leaves_the_model_alone():
    model, trees = build("llama"), forest()
    before = [p.clone() for p in model.parameters()]
    exact = one_by_one(model, trees)
    exact.sum().backward()
    with rollout_copy(model, "bfloat16") as sampler:
        assert {p.dtype for p in sampler.parameters()} == {torch.bfloat16}
        assert sampler.model.rotary_emb.inv_freq.dtype == torch.float32
        assert all(p.grad is None for p in sampler.parameters())
        torch.testing.assert_close(one_by_one(sampler, trees), exact, rtol=3e-2, atol=0.3)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("is_on", [True, False])
def test_adapters_are_merged_into_the_copy_unless_they_are_off(tmp_path, is_on):
    build("llama").save_pretrained(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    model = load(Model(path=str(tmp_path), device="cpu", adapter="lora")).model
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter) * parameter.requires_grad
    if not is_on:
        model.base_model.disable_adapter_layers()
    trees = forest()
    expected = one_by_one(model, trees)
    with rollout_copy(model, "bfloat16") as sampler:
        assert not any("lora_" in name for name, _ in sampler.named_parameters())
        torch.testing.assert_close(one_by_one(sampler, trees), expected, rtol=5e-2, atol=1.0)


def test_one_copy_serves_every_sample_inside_rollouts():
    policy = TransformerPolicy(loaded("llama"), precision="bfloat16")
    ask = lambda: policy.sample(
        [prompt((5, 6, 7))], n=2, settings=SamplingSettings(), rng=np.random.default_rng(0)
    )
    once = ask()
    with policy.rollouts():
        inside = policy._sampler
        assert ask() == once and policy._sampler is inside
    assert policy._sampler is None
