"""What generation is asked for, and what one row of it comes to."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from prefloop.types import SamplingSettings

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Request:
    """What is drawn from, and how far."""

    model: Any
    settings: SamplingSettings
    context: int
    stops: frozenset[int]
    """tokens that end a response"""
    on_tokens: Callable[[int], None] | None = None

    def room(self, prompt: Tokens) -> int:
        """The most tokens a response to the prompt may have."""
        return min(self.settings.max_new_tokens, self.context - len(prompt))


@dataclass(frozen=True)
class Drawn:
    """What one row came to."""

    tokens: Tokens
    logp: float
    logp_sampling: float
    finished: bool
