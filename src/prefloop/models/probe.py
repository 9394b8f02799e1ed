"""Can this model take trees? Asked of its structure, then of two tiny trees computed both ways."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prefloop.models.padded import padded_logps
from prefloop.models.tree import NAME, Tree, backbone, tree_logps
from prefloop.models.trunk import end_states

SCALES = ("logits_scaling", "logit_scale", "final_logit_softcapping")
Compute = Callable[[Any, Sequence[Tree], bool], Tensor]
"""what the model makes of trees, packed or padded"""


def prepare(model: Any, context: int) -> str | None:
    """Make a language model ready for trees, or say why it cannot take them and leave it as it
    was."""
    return _prepared(model, _trunk_reason(model, context) or head_reason(model), _logps)


def prepare_trunk(model: Any, context: int) -> str | None:
    """The same for a model whose hidden states are all that is wanted, whatever its head."""
    return _prepared(model, _trunk_reason(model, context), _states)


def _prepared(model: Any, reason: str | None, compute: Compute) -> str | None:
    if reason:
        return reason
    config = model.config
    usual = config._attn_implementation
    config._attn_implementation = NAME
    reason = _numeric_reason(model, compute)
    if reason:
        config._attn_implementation = usual
    return reason


def _trunk_reason(model: Any, context: int) -> str | None:
    inner = model.get_base_model() if hasattr(model, "peft_config") else model
    config = model.config.get_text_config()
    if not getattr(inner, "_supports_attention_backend", False):
        return "its attention cannot be replaced"
    if "position_ids" not in inspect.signature(backbone(model).forward).parameters:
        return "it takes no position_ids"
    window = _window(config)
    if window is not None and window < context:
        return f"its attention window of {window} tokens is shorter than the context of {context}"
    return _scaled(config, ("attn_logit_softcapping",))


def head_reason(model: Any) -> str | None:
    """Why its logits are no linear map of its last states; None where they are."""
    if type(model.get_output_embeddings()) is not nn.Linear:
        return "its vocabulary head is not a plain linear layer"
    return _scaled(model.config.get_text_config(), SCALES)


def _scaled(config: Any, names: Sequence[str]) -> str | None:
    for name in names:
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


def _numeric_reason(model: Any, compute: Compute) -> str | None:
    vocab = model.get_input_embeddings().weight.shape[0]
    draw = np.random.default_rng(0)
    a, b, c, d, e, f = (tuple(draw.integers(vocab, size=n).tolist()) for n in (3, 2, 4, 5, 4, 1))
    trees = [Tree(a, (b, c)), Tree(d, (e, f))]
    with torch.no_grad(), _evaluating(model):
        try:
            packed = compute(model, trees, True)
        except (TypeError, ValueError, RuntimeError, AttributeError) as error:
            return f"it does not run on them ({type(error).__name__}: {error})"
        plain = compute(model, trees, False)
    tolerance = 1e-4 if next(model.parameters()).dtype == torch.float32 else 2e-2
    gap = ((packed - plain).abs() / (1 + plain.abs())).max().item()
    what = "log-probabilities" if compute is _logps else "states"
    return None if gap <= tolerance else f"trees change its {what} by {gap:.1e}"


def _logps(model: Any, trees: Sequence[Tree], packs: bool) -> Tensor:
    return tree_logps(model, trees) if packs else padded_logps(model, trees)


def _states(model: Any, trees: Sequence[Tree], packs: bool) -> Tensor:
    return end_states(model, trees, packs=packs)


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
