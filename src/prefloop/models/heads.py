"""Linear heads on a causal model's hidden states, and the Hugging Face class that keeps one."""

from copy import deepcopy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from prefloop.config import ConfigError


def fresh_head(width: int, heads: int, seed: int) -> nn.Linear:
    """A linear head of N(0, 1/(width + 1)) weights and no bias (Stiennon et al. 2020's)."""
    head = nn.Linear(width, heads, bias=False, dtype=torch.float32)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        head.weight.copy_(torch.randn(heads, width, generator=draw) / (width + 1) ** 0.5)
    return head


def read(head: nn.Linear, states: Float[Tensor, "row width"]) -> Float[Tensor, "row head"]:
    """The head's outputs in float32, whatever the precision of the states and of autocast."""
    wide = torch.promote_types(states.dtype, torch.float32)
    with torch.autocast(states.device.type, enabled=False):
        bias = None if head.bias is None else head.bias.to(wide)
        return linear(states.to(wide), head.weight.to(wide), bias)


def classifier(trunk: Any, head: nn.Linear, tokenizer: Any) -> Any:
    """The sequence classifier of the trunk's family around this trunk and this head."""
    architecture = trunk.config
    architecture.num_labels = head.out_features
    architecture.problem_type = "regression"
    architecture.get_text_config().pad_token_id = padding(tokenizer)
    with torch.device("meta"):  # the trunk has its weights already
        model = class_of(architecture)(architecture)
    setattr(model, model.base_model_prefix, trunk)
    model.score = head
    return model.train()


def class_of(architecture: Any) -> Any:
    """The family's sequence classifier; ConfigError where it has none with a head to put on."""
    found = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING.get(type(architecture), None)
    if found is None:
        raise ConfigError(
            f"a {architecture.model_type} model cannot be a reward model: transformers has no "
            "sequence classifier of its family to keep one in; set reward.path to a backbone that "
            "AutoModelForSequenceClassification can load"
        )
    return found


def padding(tokenizer: Any) -> int | None:
    """What a classifier may pad with: never an EOS, which its head would then fail to read."""
    pad: int | None = tokenizer.pad_token_id
    return None if pad == tokenizer.eos_token_id else pad


def copied(module: Any) -> Any:
    """An independent copy, trainable, without gradients."""
    found = deepcopy(module).requires_grad_(True)
    found.zero_grad(set_to_none=True)
    return found
