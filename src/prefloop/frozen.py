"""What every frozen Hugging Face model is asked: how much fits, where it runs, in which batches."""

from collections.abc import Iterator, Sequence
from typing import Any


def context(model: Any, tokenizer: Any) -> int:
    """The longest text in tokens that both the model and its tokenizer take."""
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return int(min(tokenizer.model_max_length, positions or tokenizer.model_max_length))


def device(name: str) -> str:
    """The device named, or under `auto` the best there is."""
    import torch

    if name != "auto":
        return name
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Places of like length together, at most `budget` tokens with padding; always one at least."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if batch and (len(batch) + 1) * lengths[place] > budget:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
