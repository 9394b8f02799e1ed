"""Learn: a round's answers to new weights, of the policy or of a reward model."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol, runtime_checkable

from prefloop.runs.policy import PolicyLearning
from prefloop.runs.reward import RewardLearning
from prefloop.runs.session import Session
from prefloop.types import Preference


@runtime_checkable
class Trains(Protocol):
    """Trains one of the two models for a round."""

    def __call__(self, round: int, preferences: Sequence[Preference]) -> dict[str, Any]: ...


@dataclass(kw_only=True)
class Learning:
    """The verb `learn` of a run."""

    session: Session

    def __post_init__(self) -> None:
        self._trains: dict[str, Trains] = {
            "policy": PolicyLearning(session=self.session),
            "reward": RewardLearning(session=self.session),
        }

    def __call__(self, round: int, preferences: Sequence[Preference]) -> dict[str, Any]:
        """Train on the round's rows, now or in a run before this one; say how training went."""
        ledger = self.session.ledger
        if ledger.finished(round, "learn") is None:
            began = perf_counter()
            metrics = self._trains[self.session.phase(round).learns](round, preferences)
            ledger.finish(round, "learn", metrics | {"seconds_learn": perf_counter() - began})
            self.session.checkpoints.drop_partial(round)
        return ledger.finished(round, "learn") or {}
