"""The decoding loop of one batch: a prefill, then a token a step until no row grows."""

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

from prefloop.generate.cache import growing_cache, sees_everything
from prefloop.generate.draw import draw
from prefloop.generate.record import Record
from prefloop.generate.request import Drawn, Request, Tokens

LIVELY = 0.8
"""a batch is compacted when fewer than this share of its rows still grow"""
TAKES_BOOLEAN_MASK = ("sdpa", "prefloop_tree")


@dataclass
class Batch:
    """The rows still in the batch, in cache order."""

    places: Int[Tensor, " row"]
    """which row each was at the start"""
    rooms: Int[Tensor, " row"]
    """the most tokens each may draw"""
    positions: Int[Tensor, " row"]
    """of the token to be drawn next"""
    visible: Bool[Tensor, "row key"]
    """whether the cache holds a token there, or left padding"""
    uniforms: Float[Tensor, "row step"]
    grows: Bool[Tensor, " row"]
    cache: Any
    is_padded: bool

    def keep(self, which: Int[Tensor, " kept"]) -> None:
        """Only these rows go on."""
        for name in ("places", "rooms", "positions", "visible", "uniforms", "grows"):
            setattr(self, name, getattr(self, name)[which])
        for layer in self.cache.layers:
            layer.batch_select_indices(which)


def decode(
    request: Request, rows: dict[Tokens, list[int]], uniforms: Float[Tensor, "all step"]
) -> dict[int, Drawn]:
    """What comes of every row, by its number; `rows` says which rows grow from which prompt."""
    batch, logits = _prefill(request, rows, uniforms)
    record = Record(len(batch.places), int(batch.rooms.max()), logits.device)
    stops = torch.tensor(sorted(request.stops), device=logits.device)
    for step in range(record.tokens.shape[1]):
        drawn = draw(logits, batch.uniforms[:, step], request.settings)
        stopped = torch.isin(drawn.tokens, stops)
        record.write(step, batch.places, drawn, batch.grows, stopped)
        if request.on_tokens:
            request.on_tokens(int(batch.grows.sum()))
        batch.grows = batch.grows & ~stopped & (batch.rooms > step + 1)
        alive = int(batch.grows.sum())
        if not alive:
            break
        tokens = drawn.tokens
        if alive < LIVELY * len(batch.places):
            which = batch.grows.nonzero()[:, 0]
            batch.keep(which)
            tokens = tokens[which]
        logits = _step(request.model, batch, tokens)
    numbers = [number for group in rows.values() for number in group]
    return dict(zip(numbers, record.read(), strict=True))


def _prefill(
    request: Request, rows: dict[Tokens, list[int]], uniforms: Float[Tensor, "all step"]
) -> tuple[Batch, Float[Tensor, "row vocab"]]:
    """Each prompt through the model once, then a row of its cache for every sample."""
    device = next(request.model.parameters()).device
    ids, visible = _left_padded(list(rows), device)
    cache = growing_cache(request.model)
    positions = (visible.long().cumsum(1) - 1).clamp_(min=0)
    is_padded = not bool(visible.all())
    mask = visible.long() if is_padded or not sees_everything(cache) else None
    logits = _forward(request.model, ids, mask, positions, cache)
    counts = torch.tensor([len(group) for group in rows.values()])
    owner = torch.arange(len(rows)).repeat_interleave(counts).to(device)
    rooms = torch.tensor([request.room(prompt) for prompt in rows], device=device)
    numbers = torch.tensor([number for group in rows.values() for number in group])
    for layer in cache.layers:
        layer.batch_select_indices(owner)
    batch = Batch(
        places=torch.arange(len(owner), device=device),
        rooms=rooms[owner],
        positions=visible.sum(1)[owner],
        visible=visible[owner],
        uniforms=uniforms[numbers].to(device),
        grows=torch.ones(len(owner), dtype=torch.bool, device=device),
        cache=cache,
        is_padded=is_padded,
    )
    return batch, logits[owner]


def _left_padded(
    prompts: list[Tokens], device: torch.device
) -> tuple[Int[Tensor, "prompt key"], Bool[Tensor, "prompt key"]]:
    width = max(map(len, prompts))
    ids = torch.zeros(len(prompts), width, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    visible = torch.arange(width)[None] >= (width - lengths)[:, None]
    return ids.to(device), visible.to(device)


def _step(model: Any, batch: Batch, tokens: Int[Tensor, " row"]) -> Float[Tensor, "row vocab"]:
    batch.visible = pad(batch.visible, (0, 1), value=True)
    mask: Tensor | None = batch.visible.long()
    if sees_everything(batch.cache):
        if not batch.is_padded:
            mask = None
        elif model.config._attn_implementation in TAKES_BOOLEAN_MASK:
            mask = batch.visible[:, None, None, :]  # what the model would build, built once
    logits = _forward(model, tokens[:, None], mask, batch.positions[:, None], batch.cache)
    batch.positions = batch.positions + 1
    return logits


def _forward(
    model: Any, ids: Tensor, mask: Tensor | None, positions: Tensor, cache: Any
) -> Float[Tensor, "row vocab"]:
    """The logits after each row's last token."""
    inner = model.get_base_model() if hasattr(model, "peft_config") else model
    options = {"logits_to_keep": 1} if _keeps_logits(type(inner)) else {}
    found = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        **options,
    )
    logits: Tensor = found.logits[:, -1]
    return logits


def _keeps_logits(kind: type[Any]) -> bool:
    return "logits_to_keep" in inspect.signature(kind.forward).parameters
