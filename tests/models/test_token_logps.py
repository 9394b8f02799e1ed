"""Log-probabilities token by token: those of the plain loop, at any temperature, in any order."""

import pytest
import torch

from models.families import build, forest, gradient, loaded, responses
from prefloop.models.logps import logits_logps, token_logps
from prefloop.models.padded import padded_token_logps
from prefloop.models.transformer import TransformerPolicy
from prefloop.models.tree import tree_token_logps

TREES = forest()
ASKED = responses(TREES)


def one_by_one(model, asked, temperature=1.0):
    """Every sequence alone, every token in turn, from the plain logits."""
    found = []
    for one in asked:
        ids = torch.tensor([[*one.prompt.tokens, *one.tokens]])
        logps = (model(input_ids=ids).logits[0].float() / temperature).log_softmax(-1)
        start = len(one.prompt.tokens) - 1
        found += [logps[start + i, token] for i, token in enumerate(one.tokens)]
    return torch.stack(found)


def outcome(model, logps):
    """The values, and the gradient of a sum that weighs every token differently."""
    model.zero_grad()
    (torch.linspace(-1, 1, len(logps)) * logps).sum().backward()
    return logps.detach(), gradient(model)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2", "sliding", "gemma2", "mamba"])
def test_they_are_those_of_the_plain_loop_in_value_and_gradient(family, temperature):
    policy = TransformerPolicy(loaded(family))
    assert policy.packs == (family in ("llama", "qwen2", "gpt2"))
    found = outcome(policy.model, policy.token_logps(ASKED, temperature))
    model = build(family)
    expected = outcome(model, one_by_one(model, ASKED, temperature))
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-5)
    assert found[0].dtype == torch.float32


@pytest.mark.parametrize("temperature", [0.5, 1.0])
@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
def test_packed_trees_equal_padded_rows(family, temperature):
    model = TransformerPolicy(loaded(family)).model
    packed = outcome(model, tree_token_logps(model, TREES, temperature))
    padded = outcome(model, padded_token_logps(model, TREES, temperature))
    torch.testing.assert_close(packed, padded, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("tokens", [1, 40, 8192])
@pytest.mark.parametrize("family", ["llama", "sliding"])
def test_any_order_and_any_budget_with_responses_asked_twice(family, tokens):
    policy = TransformerPolicy(loaded(family), tokens=tokens)
    draw = torch.Generator().manual_seed(0)
    asked = [ASKED[i] for i in torch.randint(len(ASKED), (12,), generator=draw).tolist()]
    assert len({r.tokens for r in asked}) < len(asked)
    found = policy.token_logps(asked)
    torch.testing.assert_close(found, one_by_one(policy.model, asked), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["llama", "sliding"])
def test_a_responses_tokens_sum_to_its_log_probability(family):
    policy = TransformerPolicy(loaded(family), tokens=40)
    parts = policy.token_logps(ASKED[::-1]).split([len(r.tokens) for r in ASKED[::-1]])
    sums = torch.stack([part.sum() for part in parts])
    torch.testing.assert_close(sums, policy.logps(ASKED[::-1]), rtol=1e-6, atol=1e-5)


def test_no_responses_have_no_tokens():
    assert TransformerPolicy(loaded("llama")).token_logps([]).shape == (0,)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_must_be_positive(temperature):
    with pytest.raises(ValueError, match="temperature must be positive, got"):
        TransformerPolicy(loaded("llama")).token_logps(ASKED, temperature)


@pytest.mark.parametrize("chunk", [1, 3, 512])
@pytest.mark.parametrize("temperature", [0.3, 2.5])
def test_the_temperature_divides_the_heads_bias_too(float64, chunk, temperature):
    draw = torch.Generator().manual_seed(0)
    hidden, weight, bias = (
        torch.randn(*shape, generator=draw).requires_grad_() for shape in ((7, 5), (11, 5), (11,))
    )
    targets = torch.randint(11, (7,), generator=draw)
    scaled = (hidden @ weight.T + bias) / temperature
    expected = scaled.log_softmax(-1).gather(1, targets[:, None])[:, 0]
    head = lambda h, w, b: token_logps(h, w, b, targets, chunk, temperature)
    torch.testing.assert_close(head(hidden, weight, bias), expected)
    plain = logits_logps(hidden @ weight.T + bias, targets, temperature)
    torch.testing.assert_close(plain, expected)
    assert torch.autograd.gradcheck(head, (hidden, weight, bias))


def test_a_very_low_temperature_is_the_argmax():
    policy = TransformerPolicy(loaded("llama"))
    ids = torch.tensor([[*ASKED[0].prompt.tokens, *ASKED[0].tokens]])
    best = policy.model(input_ids=ids).logits[0, len(ASKED[0].prompt.tokens) - 1 : -1].argmax(-1)
    is_best = best == torch.tensor(ASKED[0].tokens)
    found = policy.token_logps(ASKED[:1], temperature=1e-4)
    torch.testing.assert_close(found.exp(), is_best.float(), rtol=0, atol=1e-3)
