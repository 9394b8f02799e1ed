"""Generation for models that keep their past in their own way, through Hugging Face's `generate`.

Prompts of one length at a time, since a state-space model would take padding for text.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from prefloop.generate.draw import draw
from prefloop.generate.record import Record
from prefloop.generate.request import Drawn, Request, Tokens


class _Drawing(LogitsProcessor):  # type: ignore[misc]
    """Draws the next token itself, notes it, and leaves `generate` no other choice."""

    def __init__(self, request: Request, record: Record, uniforms: Tensor) -> None:
        self.request, self.record, self.uniforms = request, record, uniforms
        self.stops = torch.tensor(sorted(request.stops), device=uniforms.device)
        self.grows = torch.ones(len(uniforms), dtype=torch.bool, device=uniforms.device)
        self.step = 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        drawn = draw(scores, self.uniforms[:, self.step], self.request.settings)
        stopped = torch.isin(drawn.tokens, self.stops)
        places = torch.arange(len(scores), device=scores.device)
        self.record.write(self.step, places, drawn, self.grows, stopped)
        if self.request.on_tokens:
            self.request.on_tokens(int(self.grows.sum()))
        self.grows = self.grows & ~stopped
        self.step += 1
        return torch.full_like(scores, -torch.inf).scatter(1, drawn.tokens[:, None], 0.0)


def generate_elsewhere(
    request: Request, rows: dict[Tokens, list[int]], uniforms: Tensor
) -> dict[int, Drawn]:
    """What comes of every row, by its number."""
    found: dict[int, Drawn] = {}
    for length in sorted({len(prompt) for prompt in rows}):
        found |= _same_length(
            request, {p: r for p, r in rows.items() if len(p) == length}, uniforms
        )
    return found


def _same_length(
    request: Request, rows: dict[Tokens, list[int]], uniforms: Tensor
) -> dict[int, Drawn]:
    model: Any = request.model
    device = next(model.parameters()).device
    numbers = [number for group in rows.values() for number in group]
    prompts = [prompt for prompt, group in rows.items() for _ in group]
    steps = request.room(prompts[0])
    record = Record(len(numbers), steps, device)
    drawing = _Drawing(request, record, uniforms[torch.tensor(numbers)].to(device))
    ids = torch.tensor(prompts, device=device)
    own = model.generation_config
    stops = sorted(request.stops)
    model.generation_config = GenerationConfig(eos_token_id=stops, pad_token_id=stops[0])
    try:
        model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=steps,
            logits_processor=LogitsProcessorList([drawing]),
        )
    finally:
        model.generation_config = own
    return dict(zip(numbers, record.read(), strict=True))
