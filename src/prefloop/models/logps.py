"""The border between logits and log-probabilities: nothing else in prefloop takes a log-softmax.

Log-probabilities are float32 (float64 for float64 inputs) whatever the model's own precision.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

CHUNK = 512


def token_logps(
    hidden: Float[Tensor, "token width"],
    weight: Float[Tensor, "vocab width"],
    bias: Float[Tensor, " vocab"] | None,
    targets: Int[Tensor, " token"],
    chunk: int = CHUNK,
    temperature: float = 1.0,
) -> Float[Tensor, " token"]:
    """log softmax((hidden·weightᵀ + bias) / temperature) at the targets, `chunk` tokens at a time.

    The [token, vocab] tensor never exists: the backward pass makes each chunk's logits again.
    Under autocast the products are in its precision, the softmax and the weight's gradient are not.
    """
    kind = hidden.device.type
    low = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
    logps: Tensor = _TokenLogps.apply(hidden, weight, bias, targets, chunk, low, temperature)  # type: ignore[no-untyped-call]
    return logps


def logits_logps(
    logits: Float[Tensor, "*row vocab"], targets: Int[Tensor, "*row"], temperature: float = 1.0
) -> Float[Tensor, "*row"]:
    """log softmax(logits / temperature) at the targets, where a model only hands out its logits."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    wide = wide if temperature == 1 else wide / temperature
    return wide.gather(-1, targets[..., None])[..., 0] - wide.logsumexp(-1)


def summed(
    logps: Float[Tensor, " token"], owners: Int[Tensor, " token"], responses: int
) -> Float[Tensor, " response"]:
    """Each response's sum over its tokens."""
    return logps.new_zeros(responses).index_add(0, owners, logps)


class _TokenLogps(torch.autograd.Function):
    """∂ log p(t)/∂ logits = (onehot(t) − softmax) / temperature, in the buffer of the logits."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        chunk: int,
        low: torch.dtype,
        temperature: float,
    ) -> Tensor:
        wide = torch.promote_types(hidden.dtype, torch.float32)
        normalisers = hidden.new_empty(len(hidden), dtype=wide)
        logps = torch.empty_like(normalisers)
        with torch.autocast(hidden.device.type, enabled=False):
            head = weight.to(low)
            for part in _parts(len(hidden), chunk):
                logits = _logits(hidden[part], head, bias, wide, temperature)
                normalisers[part] = logits.logsumexp(-1)
                logps[part] = logits.gather(1, targets[part, None])[:, 0] - normalisers[part]
        ctx.save_for_backward(hidden, weight, bias, targets, normalisers)
        ctx.chunk, ctx.low, ctx.wide, ctx.temperature = chunk, low, wide, temperature
        return logps

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        hidden, weight, bias, targets, normalisers = ctx.saved_tensors
        to_hidden, to_weight, to_bias, *_ = ctx.needs_input_grad
        head, gradient = weight.to(ctx.low), gradients[0]
        d_hidden = torch.empty_like(hidden) if to_hidden else None
        d_weight = torch.zeros_like(weight, dtype=ctx.wide) if to_weight else None
        d_bias = torch.zeros_like(bias, dtype=ctx.wide) if to_bias else None
        for part in _parts(len(hidden), ctx.chunk):
            slope = gradient[part, None] / ctx.temperature
            logits = _logits(hidden[part], head, bias, ctx.wide, ctx.temperature)
            push = logits.sub_(normalisers[part, None]).exp_().mul_(-slope)
            push.scatter_add_(1, targets[part, None], slope)
            if d_bias is not None:
                d_bias += push.sum(0)
            push = push.to(ctx.low)
            if d_hidden is not None:
                d_hidden[part] = push @ head
            if d_weight is not None:
                d_weight += push.T @ hidden[part].to(ctx.low)
        return d_hidden, _like(d_weight, weight), _like(d_bias, bias), *(None,) * 4


def _parts(length: int, chunk: int) -> list[slice]:
    return [slice(start, start + chunk) for start in range(0, length, chunk)]


def _logits(
    hidden: Tensor, head: Tensor, bias: Tensor | None, wide: torch.dtype, temperature: float
) -> Tensor:
    logits = (hidden.to(head.dtype) @ head.T).to(wide)
    logits = logits if bias is None else logits.add_(bias.to(wide))
    return logits if temperature == 1 else logits.div_(temperature)


def _like(gradient: Tensor | None, value: Tensor | None) -> Tensor | None:
    return None if gradient is None or value is None else gradient.to(value.dtype)
