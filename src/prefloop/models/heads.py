"""Linear heads on a causal model's hidden states, and the Hugging Face class that keeps them."""

from copy import deepcopy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from prefloop.config import ConfigError


def fresh_head(width: int, heads: int, seed: int) -> nn.Linear:
    """Heads of N(0, 1/(width + 1)) weights and no bias, as in arXiv:2403.17031, detail 7."""
    draw = torch.Generator().manual_seed(seed)
    weight = torch.randn(heads, width, generator=draw, dtype=torch.float32)
    return _layer(weight / (width + 1) ** 0.5, None)


def mean_head(head: nn.Linear) -> nn.Linear:
    """One head that says the mean of these."""
    bias = None if head.bias is None else head.bias.mean(0, keepdim=True)
    return _layer(head.weight.mean(0, keepdim=True), bias)


def first_head(head: nn.Linear) -> nn.Linear:
    """The first of these by itself."""
    return _layer(head.weight[:1], None if head.bias is None else head.bias[:1])


def in_units(head: nn.Linear, gain: float) -> nn.Linear:
    """Heads that say what these do, over `gain`."""
    return _layer(head.weight / gain, None if head.bias is None else head.bias / gain)


def _layer(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    shape = (weight.shape[1], weight.shape[0])
    empty = nn.Linear(*shape, bias is not None, device="meta", dtype=weight.dtype)
    head = empty.to_empty(device=weight.device)  # nn.Linear's own draw would move torch's stream
    with torch.no_grad():
        head.weight.copy_(weight)
        if bias is not None:
            head.bias.copy_(bias)
    return head


def read(head: nn.Linear, states: Float[Tensor, "row width"]) -> Float[Tensor, "row head"]:
    """The heads' outputs in float32, whatever the precision of the states and of autocast."""
    wide = torch.promote_types(states.dtype, torch.float32)
    with torch.autocast(states.device.type, enabled=False):
        bias = None if head.bias is None else head.bias.to(wide)
        return linear(states.to(wide), head.weight.to(wide), bias)


def classifier(trunk: Any, head: nn.Linear) -> Any:
    """The sequence classifier of the trunk's family, around this trunk and these heads."""
    architecture = trunk.config
    architecture.num_labels = head.out_features
    model = shell(architecture)
    setattr(model, model.base_model_prefix, trunk)
    model.score = head
    return model.train()


def shell(architecture: Any) -> Any:
    """The family's sequence classifier without weights; ConfigError where there is none."""
    found = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING.get(type(architecture), None)
    if found is None:
        raise ConfigError(
            f"a {architecture.model_type} model cannot be a reward model: transformers has no "
            "sequence classifier of its family to keep one in; set reward.path to a backbone that "
            "AutoModelForSequenceClassification can load"
        )
    with torch.device("meta"):
        model = found(architecture)
    check_head(model)
    return model


def check_head(model: Any) -> None:
    """ConfigError unless the classifier reads a causal model's last token by a linear layer."""
    if type(getattr(model, "score", None)) is not nn.Linear:
        raise ConfigError(
            f"a {model.config.model_type} classifier reads no linear head at the last token, so it "
            "cannot be trained here; set reward.path to a causal backbone, such as a Llama or a "
            "Qwen (the scorer reward_model reads any classifier)"
        )


def describe(architecture: Any, tokenizer: Any) -> None:
    """Say in the config that every label is a rating by itself, and what a batch is padded with.

    Never with EOS: a classifier reads the last token that is no padding.
    """
    pad = tokenizer.pad_token_id
    architecture.problem_type = "regression"
    architecture.get_text_config().pad_token_id = None if pad == tokenizer.eos_token_id else pad


def copied(module: Any) -> Any:
    """An independent copy, trainable, without gradients: torch copies none."""
    return deepcopy(module).requires_grad_(True)
