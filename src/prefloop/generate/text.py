"""A response as text that reads right after its prompt."""

from collections.abc import Sequence
from typing import Any

LOOKBACK = 8
"""prompt tokens that can change how the response's first characters decode"""


def continuation(tokenizer: Any, prompt: Sequence[int], response: Sequence[int]) -> str:
    """The response's characters, as they stand when prompt and response are decoded together.

    Decoding a response alone loses its leading space in many tokenizers.
    """
    tail = list(prompt[-LOOKBACK:])
    before, both = _decode(tokenizer, tail), _decode(tokenizer, [*tail, *response])
    if both.startswith(before):
        return both[len(before) :]
    return _decode(tokenizer, list(response))


def _decode(tokenizer: Any, tokens: list[int]) -> str:
    found: str = tokenizer.decode(
        tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return found
