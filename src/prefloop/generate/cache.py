"""A key-value cache that is written in place: no copy of the past at every token."""

from typing import Any

from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import CacheLayerMixin, DynamicLayer

BLOCK = 64
"""tokens by which a full layer grows"""


class GrowingLayer(CacheLayerMixin):  # type: ignore[misc]
    """One attention layer's keys and values in buffers with room for tokens to come."""

    is_sliding = False

    def __init__(self) -> None:
        super().__init__()
        self.length = 0
        self.buffers: list[Tensor] = []

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to do before the first keys arrive."""
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append the new states; all states so far, as views."""
        start, self.length = self.length, self.length + key_states.shape[2]
        new = (key_states, value_states)
        if not self.buffers:
            self.buffers = [_buffer(states, states.shape[0], self.length) for states in new]
        elif self.length > self.buffers[0].shape[2]:
            self.buffers = [self._moved(old, old.shape[0], None, start) for old in self.buffers]
        for buffer, states in zip(self.buffers, new, strict=True):
            buffer[:, :, start : self.length] = states
        self.keys, self.values = (buffer[:, :, : self.length] for buffer in self.buffers)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep, or repeat, these rows."""
        rows = len(indices)
        self.buffers = [self._moved(old, rows, indices, self.length) for old in self.buffers]

    def _moved(self, old: Tensor, rows: int, indices: Tensor | None, used: int) -> Tensor:
        new = _buffer(old, rows, max(self.length, used))
        past = old[:, :, :used]
        new[:, :, :used] = past if indices is None else past.index_select(0, indices)
        return new

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """How many keys there will be, and where they start."""
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        """How many tokens it holds."""
        return self.length

    def get_max_length(self) -> int:
        """-1: it grows."""
        return -1


def growing_cache(model: Any) -> DynamicCache:
    """An empty cache for the model; other layers than full attention's stay as they are."""
    cache = DynamicCache(config=model.config)
    cache.layers = [GrowingLayer() if type(x) is DynamicLayer else x for x in cache.layers]
    return cache


def sees_everything(cache: DynamicCache) -> bool:
    """Does every layer attend to all tokens?"""
    return all(isinstance(layer, GrowingLayer) for layer in cache.layers)


def _buffer(like: Tensor, rows: int, length: int) -> Tensor:
    room = -(-(length + 1) // BLOCK) * BLOCK
    return like.new_empty(rows, like.shape[1], room, like.shape[3])
