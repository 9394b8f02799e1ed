"""The chunked head is log-softmax and gather, in value and gradient."""

import pytest
import torch

from prefloop.models.logps import logits_logps, token_logps


def numbers(dtype, tokens=7, width=5, vocab=11):
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(tokens, width, generator=draw, dtype=dtype).requires_grad_()
    weight = torch.randn(vocab, width, generator=draw, dtype=dtype).requires_grad_()
    bias = torch.randn(vocab, generator=draw, dtype=dtype).requires_grad_()
    return hidden, weight, bias, torch.randint(vocab, (tokens,), generator=draw)


@pytest.mark.parametrize("chunk", [1, 3, 7, 512])
def test_gradcheck_in_double_precision(chunk):
    hidden, weight, bias, targets = numbers(torch.float64)
    found = lambda h, w, b: token_logps(h, w, b, targets, chunk)
    assert torch.autograd.gradcheck(found, (hidden, weight, bias))
    assert found(hidden, weight, bias).dtype == torch.float64


@pytest.mark.parametrize("chunk", [2, 512])
def test_equals_log_softmax_and_gather(chunk):
    hidden, weight, bias, targets = numbers(torch.float32)
    scale = torch.linspace(-1, 2, len(targets))
    outcomes = []
    for way in (
        lambda: token_logps(hidden, weight, bias, targets, chunk),
        lambda: (hidden @ weight.T + bias).log_softmax(-1).gather(1, targets[:, None])[:, 0],
        lambda: logits_logps(hidden @ weight.T + bias, targets),
    ):
        logps = way()
        outcomes.append(
            (logps.detach(), *torch.autograd.grad((scale * logps).sum(), (hidden, weight, bias)))
        )
    torch.testing.assert_close(outcomes[0], outcomes[1], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(outcomes[2], outcomes[1], rtol=1e-5, atol=1e-6)


def test_a_frozen_head_gets_no_gradient_but_passes_one_on():
    hidden, weight, _, targets = numbers(torch.float32)
    frozen = weight.detach()
    expected = torch.autograd.grad(token_logps(hidden, weight, None, targets).sum(), hidden)
    found = torch.autograd.grad(token_logps(hidden, frozen, None, targets).sum(), hidden)
    torch.testing.assert_close(found, expected)


def test_under_autocast_the_result_and_the_weight_gradient_are_float32():
    hidden, weight, bias, targets = numbers(torch.float32, tokens=64, width=32)
    exact = token_logps(hidden, weight, bias, targets)
    with torch.autocast("cpu", torch.bfloat16):
        found = token_logps(hidden, weight, bias, targets, 16)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact, rtol=2e-2, atol=5e-2)
    gradients = torch.autograd.grad(found.sum(), (hidden, weight))
    expected = torch.autograd.grad(exact.sum(), (hidden, weight))
    assert all(((a - b).norm() / b.norm()) < 2e-2 for a, b in zip(gradients, expected, strict=True))


def test_extreme_logits_stay_finite():
    hidden = torch.tensor([[1e4], [-1e4]], requires_grad=True)
    weight = torch.tensor([[1.0], [-1.0]], requires_grad=True)
    logps = token_logps(hidden, weight, None, torch.tensor([1, 1]))
    assert logps.tolist() == [-2e4, 0.0]
    logps.sum().backward()
    assert torch.isfinite(hidden.grad).all() and torch.isfinite(weight.grad).all()
