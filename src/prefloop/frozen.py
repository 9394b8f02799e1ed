"""What every frozen Hugging Face model is asked: its weights, how much fits, where it runs."""

from collections.abc import Iterator, Sequence
from typing import Any


def load(
    path: str,
    kind: str,
    noun: str,
    *,
    error: type[Exception],
    dtype: Any = "auto",
    trust: bool = False,
    spare: str | None = None,
) -> tuple[Any, Any]:
    """The model as transformers' `kind` of auto class has it, and its tokenizer.

    `error` where it cannot be had, or lacks weights, which transformers would make up; those with
    `spare` in their names are never used.
    """
    import transformers

    try:
        model, report = getattr(transformers, kind).from_pretrained(
            path, dtype=dtype, trust_remote_code=trust, output_loading_info=True
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(path, trust_remote_code=trust)
    except (OSError, ValueError) as reason:
        raise error(
            f"cannot load {noun} from {path!r}; give a folder that {kind} can load, with its "
            f"tokenizer ({str(reason).splitlines()[0]})"
        ) from reason
    missing = sorted(n for n in report["missing_keys"] if spare is None or spare not in n)
    if missing:
        more = f" and {len(missing) - 1} more weights" if len(missing) > 1 else ""
        raise error(
            f"{path} lacks {missing[0]}{more}: what it says would come from random weights; give "
            f"one that was trained and saved as {noun}"
        )
    return model.eval(), tokenizer


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
