"""Can this model take trees? Asked of its structure, then of two tiny trees computed both ways."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from prefloop.models.padded import padded_logps
from prefloop.models.tree import NAME, Tree, backbone, tree_logps

SCALES = ("logits_scaling", "logit_scale", "attn_logit_softcapping", "final_logit_softcapping")


def prepare(model: Any, context: int) -> str | None:
    """Make the model ready for trees, or say why it cannot take them and leave it as it was."""
    reason = _structural_reason(model, context)
    if reason:
        return reason
    config = model.config
    usual = config._attn_implementation
    config._attn_implementation = NAME
    reason = _numeric_reason(model)
    if reason:
        config._attn_implementation = usual
    return reason


def _structural_reason(model: Any, context: int) -> str | None:
    inner = model.get_base_model() if hasattr(model, "peft_config") else model
    config = model.config.get_text_config()
    if not getattr(inner, "_supports_attention_backend", False):
        return "its attention cannot be replaced"
    if type(model.get_output_embeddings()) is not nn.Linear:
        return "its vocabulary head is not a plain linear layer"
    if "position_ids" not in inspect.signature(backbone(model).forward).parameters:
        return "it takes no position_ids"
    window = _window(config)
    if window is not None and window < context:
        return f"its attention window of {window} tokens is shorter than the context of {context}"
    for name in SCALES:
        if getattr(config, name, None) not in (None, 1, 1.0):
            return f"it changes its logits ({name} = {getattr(config, name)})"
    return None


def _window(config: Any) -> int | None:
    """The shortest reach of any layer; None when every layer sees everything."""
    kinds = getattr(config, "layer_types", None)
    if kinds is not None and set(kinds) - {"full_attention", "sliding_attention"}:
        return 0
    if kinds is not None and "sliding_attention" not in kinds:
        return None
    if not getattr(config, "use_sliding_window", True):
        return None
    found: int | None = getattr(config, "sliding_window", None)
    return found


def _numeric_reason(model: Any) -> str | None:
    vocab = model.get_output_embeddings().weight.shape[0]
    draw = np.random.default_rng(0)
    a, b, c, d, e, f = (tuple(draw.integers(vocab, size=n).tolist()) for n in (3, 2, 4, 5, 4, 1))
    trees = [Tree(a, (b, c)), Tree(d, (e, f))]
    with torch.no_grad(), _evaluating(model):
        try:
            packed = tree_logps(model, trees)
        except (TypeError, ValueError, RuntimeError, AttributeError) as error:
            return f"it does not run on them ({type(error).__name__}: {error})"
        plain = padded_logps(model, trees)
    tolerance = 1e-4 if next(model.parameters()).dtype == torch.float32 else 2e-2
    gap = ((packed - plain).abs() / (1 + plain.abs())).max().item()
    return None if gap <= tolerance else f"trees change its log-probabilities by {gap:.1e}"


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
