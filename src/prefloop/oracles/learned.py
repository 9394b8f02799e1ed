"""The reward model that a run has trained."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from prefloop.oracles._errors import OracleError
from prefloop.types import Missing, Response


@dataclass(frozen=True, kw_only=True)
class Learned:
    """The reward model of this run's last reward phase, as a scorer.

    A run supplies `reward`; nobody else can. Once trained, that model is an ordinary folder under
    `rewards/`, which `reward_model` reads.
    """

    reward: Callable[[], Any] | None = None

    def score(self, responses: Sequence[Response]) -> list[float | Missing]:
        model = self.reward() if self.reward is not None else None
        if model is None:
            raise OracleError(
                "the scorer 'learned' is a run's own reward model, and there is none yet; put a "
                "phase that trains one first, or name a scorer such as reward_model"
            )
        scores: list[float | Missing] = model.score(responses)
        return scores
