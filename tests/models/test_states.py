"""Hidden states at the last token: those of a plain forward pass, in any batch."""

import numpy as np
import pytest
import torch

import tiny
from models.families import build, forest, loaded, responses
from prefloop.config import Model
from prefloop.models.load import load
from prefloop.models.references import adapters_off
from prefloop.models.states import last_states
from prefloop.models.transformer import TransformerPolicy
from prefloop.models.tree import backbone

TREES = forest()
ASKED = responses(TREES)


def one_by_one(model) -> np.ndarray:
    """Every sequence alone: the last of its states."""
    found = []
    with torch.no_grad():
        for one in ASKED:
            ids = torch.tensor([[*one.prompt.tokens, *one.tokens]])
            found.append(backbone(model)(input_ids=ids, use_cache=False).last_hidden_state[0, -1])
    return torch.stack(found).float().numpy()


@pytest.mark.parametrize("tokens", [1, 40, 8192])
@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2", "sliding", "mamba"])
def test_they_are_those_of_the_plain_loop_in_the_order_asked(family, tokens):
    policy = TransformerPolicy(loaded(family), tokens=tokens)
    assert policy.packs == (family not in ("sliding", "mamba"))
    order = np.random.default_rng(0).permutation(len(ASKED))
    found = last_states(policy, [ASKED[i] for i in order])
    np.testing.assert_allclose(found, one_by_one(build(family))[order], rtol=1e-4, atol=1e-4)
    assert found.dtype == np.float32


def test_they_are_the_states_that_the_head_would_read_next():
    """Behind the final norm: what the vocabulary head makes of them is the next token's law."""
    policy = TransformerPolicy(loaded("llama"))
    head = policy.model.get_output_embeddings()
    found = head(torch.tensor(last_states(policy, ASKED[:1])))[0]
    ids = torch.tensor([[*ASKED[0].prompt.tokens, *ASKED[0].tokens]])
    torch.testing.assert_close(found, build("llama")(input_ids=ids).logits[0, -1])


def test_a_response_has_the_same_state_in_any_company():
    policy = TransformerPolicy(loaded("llama"))
    alone = np.concatenate([last_states(policy, [one]) for one in ASKED])
    np.testing.assert_allclose(last_states(policy, ASKED), alone, rtol=1e-4, atol=1e-5)


def test_no_responses_have_no_states_and_nothing_has_a_gradient():
    policy = TransformerPolicy(loaded("llama"))
    assert last_states(policy, []).shape == (0, 32)
    last_states(policy, ASKED)
    assert all(p.grad is None for p in policy.model.parameters())
    assert torch.is_grad_enabled()


def test_bfloat16_weights_give_float32_states():
    policy = TransformerPolicy(loaded("llama"))
    policy.model.to(torch.bfloat16)
    found = last_states(policy, ASKED)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, one_by_one(build("llama")), atol=0.15)


def test_with_adapters_off_they_are_the_references(tmp_path):
    build("llama").save_pretrained(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    policy = TransformerPolicy(load(Model(path=str(tmp_path), device="cpu", adapter="lora")))
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in policy.model.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn_like(parameter)
    with adapters_off(policy) as reference:
        found = last_states(reference, ASKED)
    np.testing.assert_allclose(found, one_by_one(build("llama")), rtol=1e-4, atol=1e-4)
    assert np.abs(last_states(policy, ASKED) - found).max() > 0.1
