"""Batched generation: a whole chunk of prompts at once, one prefill a prompt, rows that leave.

Every row draws by its own uniforms, made before the first step, so that who else is in the batch,
and when they finish, changes nothing.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from prefloop.generate.cache import growing_cache
from prefloop.generate.decode import decode
from prefloop.generate.fallback import generate_elsewhere
from prefloop.generate.request import Drawn, Request, Tokens
from prefloop.generate.text import continuation
from prefloop.types import Prompt, Response, SamplingSettings, Source

CACHE_BYTES = 1 << 30
"""keys and values held at once on a CPU; on CUDA, half of what is free"""
ROWS = 512


def sample(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    *,
    n: int,
    settings: SamplingSettings,
    rng: np.random.Generator,
    context: int,
    source: Source = "policy",
    version: int = 0,
    on_tokens: Callable[[int], None] | None = None,
) -> list[list[Response]]:
    """n responses to each prompt, in prompt order."""
    for prompt in prompts:
        _check(prompt, context)
    stops = stop_tokens(model, tokenizer)
    uniforms = rng.random((len(prompts), n, settings.max_new_tokens))
    request = Request(model, settings, context, stops, on_tokens)
    drawn = generate(request, [prompt.tokens for prompt in prompts], uniforms)
    return [
        [
            Response(
                prompt=prompt,
                text=continuation(tokenizer, prompt.tokens, row.tokens),
                tokens=row.tokens,
                logp=row.logp,
                logp_sampling=row.logp_sampling,
                source=source,
                policy_version=version,
                finished=row.finished,
            )
            for row in rows
        ]
        for prompt, rows in zip(prompts, drawn, strict=True)
    ]


@torch.no_grad()
def generate(
    request: Request, prompts: Sequence[Tokens], uniforms: Float[np.ndarray, "prompt sample step"]
) -> list[list[Drawn]]:
    """One row for every sample of every prompt; a prompt asked twice is prefilled once."""
    samples = uniforms.shape[1]
    flat = torch.from_numpy(uniforms.reshape(-1, uniforms.shape[2]))
    rows: dict[Tokens, list[int]] = {}
    for index, prompt in enumerate(prompts):
        rows.setdefault(prompt, []).extend(range(index * samples, (index + 1) * samples))
    found: dict[int, Drawn] = {}
    if takes_cache(request.model):
        for batch in batches(request, rows):
            found |= decode(request, batch, flat)
    else:
        found = generate_elsewhere(request, rows, flat)
    return [[found[i * samples + k] for k in range(samples)] for i in range(len(prompts))]


def takes_cache(model: Any) -> bool:
    """Can the model be stepped with a cache, a mask and positions of ours?"""
    inner = model.get_base_model() if hasattr(model, "peft_config") else model
    if getattr(inner, "_is_stateful", False):
        return False
    if not all(hasattr(layer, "batch_select_indices") for layer in growing_cache(model).layers):
        return False
    has = inspect.signature(inner.forward).parameters
    return {"past_key_values", "position_ids", "attention_mask"} <= set(has)


def batches(request: Request, rows: dict[Tokens, list[int]]) -> Iterator[dict[Tokens, list[int]]]:
    """Prompts of similar lengths together, as many rows as the cache may hold."""
    budget = _cache_tokens(request.model)
    batch: dict[Tokens, list[int]] = {}
    count = shortest = 0
    for prompt in sorted(rows, key=lambda p: (len(p), p)):
        most = max(1, min(ROWS, budget // (len(prompt) + request.room(prompt))))
        for row in rows[prompt]:
            if batch and (count >= most or len(prompt) > 2 * shortest + 16):
                yield batch
                batch, count = {}, 0
            shortest = shortest if batch else len(prompt)
            batch.setdefault(prompt, []).append(row)
            count += 1
    if batch:
        yield batch


def _cache_tokens(model: Any) -> int:
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    parameter = next(model.parameters())
    each = 2 * config.num_hidden_layers * heads * width * parameter.element_size()
    is_cuda = parameter.device.type == "cuda"
    room = torch.cuda.mem_get_info(parameter.device)[0] // 2 if is_cuda else CACHE_BYTES
    return int(room // each)


def stop_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends a response: the generation config's, and the tokenizer's own."""
    named = getattr(model.generation_config, "eos_token_id", None)
    ids = named if isinstance(named, list) else [named]
    return frozenset(i for i in [*ids, tokenizer.eos_token_id] if i is not None)


def _check(prompt: Prompt, context: int) -> None:
    if not prompt.tokens:
        raise ValueError(
            f"the prompt {prompt.text[:40]!r} has no tokens; encode it first with store.text"
        )
    if len(prompt.tokens) >= context:
        raise ValueError(
            f"a prompt must leave room for a response in the context of {context} tokens, got "
            f"{len(prompt.tokens)}; shorten it, or set data.overflow to drop or keep_end"
        )
