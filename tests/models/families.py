"""One tiny random model of each family, and texts for it."""

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    Qwen2Config,
)

import tiny
from prefloop.models.load import Loaded
from prefloop.models.tree import Tree
from prefloop.types import Prompt, Response

CONTEXT = 64
SIZE = {
    "vocab_size": 101,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": CONTEXT,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
GROUPED = {**SIZE, "num_key_value_heads": 2}
CONFIGS: dict[str, Any] = {
    "llama": LlamaConfig(**SIZE, tie_word_embeddings=True),
    "untied": LlamaConfig(**SIZE, tie_word_embeddings=False),
    "qwen2": Qwen2Config(**GROUPED),
    "gpt2": GPT2Config(vocab_size=101, n_embd=32, n_layer=2, n_head=4, n_positions=64, **SPECIAL),
    "mistral": MistralConfig(**GROUPED, sliding_window=None),
    "sliding": MistralConfig(**GROUPED, sliding_window=8),
    "gemma2": Gemma2Config(**GROUPED, head_dim=8, sliding_window=CONTEXT),
    "mamba": MambaConfig(vocab_size=101, hidden_size=16, num_hidden_layers=2, **SPECIAL),
}


def build(family: str, seed: int = 0) -> Any:
    """A random model; the same seed gives the same one."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(deepcopy(CONFIGS[family]), dtype=torch.float32)
    return model.eval()


def loaded(family: str, seed: int = 0) -> Loaded:
    """The same with a tokenizer of one token a character."""
    return Loaded(build(family, seed), tiny.tokenizer(), torch.device("cpu"), CONTEXT)


def forest(seed: int = 0, trees: int = 5) -> list[Tree]:
    """Ragged trees of one to three responses."""
    rng = np.random.default_rng(seed)

    def text(low: int, high: int) -> tuple[int, ...]:
        return tuple(rng.integers(5, 101, size=rng.integers(low, high)).tolist())

    return [
        Tree(text(1, 14), tuple(text(1, 12) for _ in range(rng.integers(1, 4))))
        for _ in range(trees)
    ]


def prompt(tokens: tuple[int, ...]) -> Prompt:
    """A prompt that is already encoded."""
    return Prompt(text=" ".join(map(str, tokens)), tokens=tokens)


def responses(trees: list[Tree]) -> list[Response]:
    """The trees' responses as records."""
    return [
        Response(prompt=prompt(tree.prompt), text="", tokens=tokens)
        for tree in trees
        for tokens in tree.responses
    ]


def one_by_one(model: Any, trees: list[Tree]) -> torch.Tensor:
    """The plain loop: every sequence alone, log-softmax of all its logits."""
    found = []
    for tree in trees:
        for tokens in tree.responses:
            ids = torch.tensor([[*tree.prompt, *tokens]])
            logps = model(input_ids=ids).logits[0].float().log_softmax(-1)
            start = len(tree.prompt) - 1
            found.append(sum(logps[start + i, token] for i, token in enumerate(tokens)))
    return torch.stack(found)


def gradient(model: Any) -> torch.Tensor:
    """All gradients of what is trained, as one vector."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in trained]
    )
