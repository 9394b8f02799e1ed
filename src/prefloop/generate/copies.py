"""The weights that rollouts are drawn from: the model itself, or a copy in half precision."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, Literal

import torch
from torch import nn

Precision = Literal["auto", "float32", "bfloat16"]


def rollout_dtype(model: nn.Module, precision: Precision) -> torch.dtype:
    """The precision rollouts get; `auto` is bfloat16 where the hardware multiplies it."""
    own = next(model.parameters())
    if precision != "auto":
        found: torch.dtype = getattr(torch, precision)
        return found
    if own.dtype == torch.float32 and has_bfloat16(own.device):
        return torch.bfloat16
    return own.dtype


def has_bfloat16(device: torch.device) -> bool:
    """Does the device multiply bfloat16 in hardware?"""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


@contextmanager
def rollout_copy(model: Any, precision: Precision) -> Iterator[Any]:
    """The model in evaluation mode for the length of a `with`, copied if the precision differs.

    Adapters are merged into a copy. Only parameters are cast: a buffer such as RoPE's frequencies
    loses positions in bfloat16.
    """
    dtype = rollout_dtype(model, precision)
    training = model.training
    if _is_quantized(model) or _dtypes(model) == {dtype}:
        sampler = model
    else:
        sampler = _merged(deepcopy(model)).requires_grad_(False)
        for parameter in sampler.parameters():
            parameter.grad = None
            if parameter.is_floating_point():
                parameter.data = parameter.data.to(dtype)
    sampler.eval()
    try:
        yield sampler
    finally:
        model.train(training)


def _dtypes(model: nn.Module) -> set[torch.dtype]:
    """Of the base weights; adapters may be float32 beside bfloat16 without need of a copy."""
    return {p.dtype for name, p in model.named_parameters() if "lora_" not in name}


def _merged(model: Any) -> Any:
    if not hasattr(model, "peft_config"):
        return model
    is_off = any(getattr(module, "disable_adapters", False) is True for module in model.modules())
    return model.unload() if is_off else model.merge_and_unload()


def _is_quantized(model: Any) -> bool:
    return bool(getattr(model, "is_quantized", False))
