"""A statement of a paper next to the check that it holds in the lab."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from inspect import getdoc
from time import perf_counter

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A statement, where it is made, and a check that measures how far it is from holding.

    The check returns an error, or for an inequality its largest excess; the claim holds when that
    is at most the tolerance.
    """

    name: str
    statement: str
    source: str
    check: Callable[[], float]
    tolerance: float

    def holds(self, measured: float) -> bool:
        """NaN does not."""
        return measured <= self.tolerance


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A claim after its check."""

    topic: str
    claim: Claim
    measured: float
    seconds: float

    @property
    def holds(self) -> bool:
        return self.claim.holds(self.measured)


def check(claims: Iterable[tuple[str, Claim]]) -> Iterator[Verdict]:
    """Each claim's verdict, in order."""
    for topic, claim in claims:
        began = perf_counter()
        measured = claim.check()
        seconds = perf_counter() - began
        yield Verdict(topic=topic, claim=claim, measured=measured, seconds=seconds)


def claim(source: str, tolerance: float) -> Callable[[Callable[[], float]], Claim]:
    """Make a claim of a check; its docstring is the statement."""

    def made(check: Callable[[], float]) -> Claim:
        return Claim(
            name=check.__name__,
            statement=" ".join((getdoc(check) or "").split()),
            source=source,
            check=check,
            tolerance=tolerance,
        )

    return made


def farthest(found: Tensor, expected: Tensor) -> float:
    """The largest absolute difference."""
    return float((found - expected).abs().max())


def dice(seed: int) -> torch.Generator:
    """A generator of its own for each claim."""
    return torch.Generator().manual_seed(seed)


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    """Independent N(0, 1) in double precision."""
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def law(generator: torch.Generator, *shape: int) -> Tensor:
    """Log-probabilities of a random law, or of several."""
    return normal(generator, *shape).log_softmax(-1)


def preferences(generator: torch.Generator, responses: int) -> Tensor:
    """P(row ≻ column) without any order behind it: cycles are likely."""
    p = torch.rand((responses, responses), generator=generator, dtype=torch.float64)
    upper = p.triu(1)
    return upper + (1 - upper.T).tril(-1) + 0.5 * torch.eye(responses, dtype=torch.float64)


def win_counts(generator: torch.Generator, responses: int, most: int = 9) -> Tensor:
    """How often each beat each: every ordered pair at least once."""
    counts = torch.randint(1, most, (responses, responses), generator=generator).double()
    return counts - counts.diag().diag()
