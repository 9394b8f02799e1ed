"""What a reward model's step lowers besides the loss on its rows."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from prefloop.learn.facts import Row
from prefloop.learn.optimizer import Trained


@dataclass(frozen=True, kw_only=True)
class Turn:
    """An optimizer step as a term sees it."""

    number: int
    rows: Sequence[Row]
    """the step's"""
    total: int
    """rows of all steps"""
    budget: int
    """tokens of a micro-batch; never changes the gradient"""
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
    """the precision of forward passes"""


@runtime_checkable
class Term(Protocol):
    """Something that a step lowers besides."""

    @property
    def trained(self) -> Trained:
        """What it brings that is trained too, by the prefix of its parameters' names."""
        ...

    def gradient(self, turn: Turn) -> float:
        """Add the term's gradient to what is there; its value, weight included."""
        ...


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """weight/2 a row times the squared distance of the heads' weights from where they began.

    A Gaussian prior: members of an ensemble that saw the same rows differ by what the rows leave
    open.
    """

    head: nn.Linear
    began: Tensor
    weight: float
    trained: Trained = field(default_factory=dict)

    def gradient(self, turn: Turn) -> float:
        """Add weight/(rows · heads) · (w − w₀), since the loss is a mean over both."""
        pull = (self.head.weight - self.began).square().sum()
        value = self.weight / (2 * turn.total * len(self.head.weight)) * pull
        value.backward()  # type: ignore[no-untyped-call]
        return float(value.detach())
