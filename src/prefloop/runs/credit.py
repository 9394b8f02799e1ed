"""What a round's samples were worth, token by token, as the policy gradient is told."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from prefloop.learn.credit import adapted, credit
from prefloop.learn.facts import Facts
from prefloop.learn.learner import Learner
from prefloop.learn.values import TokenValues
from prefloop.runs.session import Session
from prefloop.types import Response


def credited(
    session: Session, round: int, learner: Learner, responses: Sequence[Response]
) -> Facts:
    """The facts of a policy-gradient round, under the policy and the critic as it begins.

    Old log-probabilities are computed here, as the learner computes them, and not the sampler's:
    the first step's ratios are then 1 up to rounding. The adaptive β moves on for the next round.
    """
    settings, scores = session.phase(round).config.credit, session.rated(round, responses)
    said: TokenValues = learner.stepper.said_of(responses)
    found, numbers = credit(
        [float(scores[r.id]) for r in responses],  # type: ignore[arg-type]
        _rows(said, said.y, responses),
        _reference(session, round, learner, responses),
        values=None if said.value is None else _rows(said, said.value, responses),
        prompts=[r.prompt.id for r in responses],
        finished=[r.finished for r in responses],
        settings=settings,
        beta=learner.beta,
    )
    learner.beta = adapted(learner.beta, numbers["kl"], settings, len(responses))
    return Facts(
        ref={},
        credit=dict(zip((r.id for r in responses), found, strict=True)),
        said={f"credit_{name}": value for name, value in numbers.items()},
    )


def _reference(
    session: Session, round: int, learner: Learner, responses: Sequence[Response]
) -> list[Tensor]:
    """log π_ref of every token, by the same law."""
    with session.origin(round).opened() as policy, learner.stepper.autocast():
        flat = policy.token_logps(responses, temperature=learner.temperature)
    return _rows(TokenValues.beside(responses, flat, None), flat, responses)


def _rows(said: TokenValues, flat: Tensor, responses: Sequence[Response]) -> list[Any]:
    """The flat column, a row a response."""
    return [flat[slice(*said.place[r.id])].float() for r in responses]
