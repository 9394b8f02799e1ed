"""The same number of samples of the same prompts, drawn by prefloop and by Hugging Face."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from cases import model, tokenizer, trees
from transformers import GenerationConfig

from prefloop.generate import batched
from prefloop.types import Prompt, SamplingSettings

NEW = 64
Draws = Callable[[], int]
"""draws once and says how many tokens that gave"""


def prompts(distinct: int, lengths: tuple[int, int]) -> list[tuple[int, ...]]:
    """Random prompts of these lengths."""
    return [tree.prompt for tree in trees(distinct, lengths, (1, 1), 1)]


def network(size: str, device: torch.device, dtype: torch.dtype) -> Any:
    """The model as both generate from it."""
    made = model(size, device).eval()
    for parameter in made.parameters():
        parameter.data = parameter.data.to(dtype)
    return made


def prefloop_draws(net: Any, texts: list[tuple[int, ...]], samples: int) -> Draws:
    """prefloop's batched generation, text included."""
    asked = [Prompt(text="", tokens=text) for text in texts]
    names = tokenizer()

    def draw() -> int:
        found = batched.sample(
            net,
            names,
            asked,
            n=samples,
            settings=SamplingSettings(max_new_tokens=NEW),
            rng=np.random.default_rng(0),
            context=1024,
        )
        return sum(len(response.tokens) for rows in found for response in rows)

    return draw


def huggingface_draws(net: Any, texts: list[tuple[int, ...]], samples: int) -> Draws:
    """`generate` on left-padded prompts, each repeated for its samples, then `batch_decode`."""
    width = max(map(len, texts))
    ids = torch.zeros(len(texts), width, dtype=torch.long)
    for row, text in enumerate(texts):
        ids[row, width - len(text) :] = torch.tensor(text)
    ids = ids.repeat_interleave(samples, 0).to(next(net.parameters()).device)
    names = tokenizer()
    settings = GenerationConfig(
        max_new_tokens=NEW, do_sample=True, top_k=0, eos_token_id=2, pad_token_id=0
    )

    def draw() -> int:
        torch.manual_seed(0)
        with torch.no_grad():
            found = net.generate(
                input_ids=ids, attention_mask=(ids != 0).long(), generation_config=settings
            )[:, width:]
        names.batch_decode(found, skip_special_tokens=True)
        return int((found != 0).sum())

    return draw
