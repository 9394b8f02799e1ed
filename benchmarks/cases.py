"""What the benchmarks run on: tiny random Llamas, and random texts of given lengths."""

import random
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from prefloop.models.tree import Tree

VOCABULARY = 4096
SIZES = {
    "3M": {"hidden_size": 192, "num_hidden_layers": 6, "num_attention_heads": 6},
    "31M": {"hidden_size": 512, "num_hidden_layers": 9, "num_attention_heads": 8},
}


@dataclass(frozen=True)
class Case:
    """Trees of random tokens for one model size."""

    name: str
    size: str
    trees: tuple[Tree, ...]

    @property
    def sequence_tokens(self) -> int:
        """Tokens of every prompt + response, each prompt counted with each response."""
        return sum(
            len(tree.prompt) + len(tokens) for tree in self.trees for tokens in tree.responses
        )

    @property
    def pairs(self) -> list[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
        """Disjoint pairs: (prompt, first, second)."""
        return [
            (tree.prompt, tree.responses[i], tree.responses[i + 1])
            for tree in self.trees
            for i in range(0, len(tree.responses), 2)
        ]


def ragged_pairs() -> Case:
    """Eight prompts of 32 to 96 tokens, two responses of 32 to 96 each."""
    return Case("ragged pairs", "31M", trees(8, (32, 96), (32, 96), 2))


def four_responses(size: str) -> Case:
    """Four prompts of about 200 tokens, four responses of 48 to 64 each."""
    return Case("4 responses to 200 tokens", size, trees(4, (180, 220), (48, 64), 4))


def trees(
    count: int, prompts: tuple[int, int], responses: tuple[int, int], samples: int
) -> tuple[Tree, ...]:
    """Random trees with lengths drawn uniformly, bounds included."""
    draw = random.Random(0)

    def text(bounds: tuple[int, int]) -> tuple[int, ...]:
        return tuple(draw.randrange(5, VOCABULARY) for _ in range(draw.randint(*bounds)))

    return tuple(
        Tree(text(prompts), tuple(text(responses) for _ in range(samples))) for _ in range(count)
    )


def model(size: str, device: torch.device, seed: int = 0) -> Any:
    """A random Llama with a tied head; the same seed gives the same weights."""
    torch.manual_seed(seed)
    width = SIZES[size]["hidden_size"]
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        max_position_embeddings=1024,
        intermediate_size=width * 11 // 4 // 16 * 16,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        attn_implementation="sdpa",
        **SIZES[size],
    )
    return LlamaForCausalLM(config).to(device)


def tokenizer() -> PreTrainedTokenizerFast:
    """Numbers as words: what TRL's constructors need, though no text is ever tokenised."""
    vocabulary = {name: i for i, name in enumerate(["<pad>", "<s>", "</s>", "<unk>"])}
    vocabulary |= {str(i): i for i in range(4, VOCABULARY)}
    inner = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
