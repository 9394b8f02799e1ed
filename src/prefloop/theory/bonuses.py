"""The bonuses as terms of an exact fit."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from prefloop.theory import counts, value
from prefloop.theory.newton import Point, Square, Term

Calibration = Literal["reference", "uniform", "chosen"]


@runtime_checkable
class Bonus(Protocol):
    """What a fit hopes for, or fears, beside the answers."""

    def term(self, prior: Point, wins: Square, beta: float) -> Term:
        """What it adds to the objective, given log π₀ and the answers so far."""
        ...

    def check(self, prior: Point, wins: Square) -> None:
        """NoMinimum where a fit without a ridge has none."""
        ...


@dataclass(frozen=True, kw_only=True)
class Value:
    """∓α J* of the calibrated reward: VPO. XPO and SELM are its online mode about the reference.

    α stands beside a sum over the answers. With ridge ρ online has a single minimum while α < 2βρ.
    """

    alpha: float
    mode: Literal["online", "offline"] = "online"
    calibration: Calibration = "reference"

    def __post_init__(self) -> None:
        if not self.alpha >= 0:
            raise ValueError(
                f"alpha must be at least 0, got {self.alpha:g}; set mode='offline' for pessimism"
            )

    @property
    def signed(self) -> float:
        """+α online, −α offline."""
        return self.alpha if self.mode == "online" else -self.alpha

    def law(self, prior: Point, wins: Square) -> Point:
        """log π_cal."""
        laws: dict[Calibration, Callable[[], Tensor]] = {
            "reference": lambda: prior,
            "uniform": lambda: torch.zeros_like(prior).log_softmax(-1),
            "chosen": lambda: value.chosen(wins, prior),
        }
        return laws[self.calibration]()

    def term(self, prior: Point, wins: Square, beta: float) -> Term:
        """Slope −α (π_r − π_cal) online."""
        return value.biased(prior, self.law(prior, wins), beta=beta, bonus=self.signed)

    def check(self, prior: Point, wins: Square) -> None:
        """Online α must be below α_crit."""
        value.must_exist(wins, self.law(prior, wins), self.signed)


@dataclass(frozen=True, kw_only=True)
class Count:
    """−α E_π[1/√(N + 1)], N the comparisons a response was in: COPO."""

    alpha: float

    def term(self, prior: Point, wins: Square, beta: float) -> Term:
        """Slope −α π (b − E_π b)/β."""
        return counts.hoped(prior, (wins + wins.mT).sum(-1), beta=beta, alpha=self.alpha)

    def check(self, prior: Point, wins: Square) -> None:
        """The bonus is bounded: it exists where the fit alone does."""
        value.must_exist(wins, prior, 0.0)
