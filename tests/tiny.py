"""Hugging Face folders small enough to be made in a test."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)

CHAT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"


def tokenizer(template: str | None = None, **special: str) -> PreTrainedTokenizerFast:
    """One token a character of printable ASCII, five special ones first."""
    names = ["<pad>", "<s>", "</s>", "<user>", "<assistant>"]
    vocabulary = {name: i for i, name in enumerate([*names, *map(chr, range(32, 127)), "\n"])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    inner.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    inner.add_special_tokens(names)
    special = special or {"pad_token": "<pad>"}
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", model_max_length=64, **special
    )
    made.chat_template = template
    return made


def config(**changes: Any) -> LlamaConfig:
    """One layer, eight dimensions, 64 positions."""
    return LlamaConfig(
        **{
            "vocab_size": 101,
            "hidden_size": 8,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "max_position_embeddings": 64,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "num_labels": 1,
            "initializer_range": 0.5,
            **changes,
        }
    )


def reward_model(folder: Path, template: str | None = None, **changes: Any) -> str:
    """The folder of a random reward model with its head."""
    torch.manual_seed(0)
    LlamaForSequenceClassification(config(**changes)).save_pretrained(folder)
    tokenizer(template).save_pretrained(folder)
    return str(folder)


def language_model(folder: Path, **changes: Any) -> str:
    """The folder of a random causal language model: no reward head in it."""
    torch.manual_seed(0)
    LlamaForCausalLM(config(**changes)).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)
