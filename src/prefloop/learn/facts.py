"""What is known of responses before a step is taken, by their ids."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from prefloop.learn.credit import Advantages
from prefloop.types import Preference, Ranking, Rating, Response

Row = Preference | Response | Ranking | Rating
Known = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Numbers that do not change while a round is learned from; a loss names those it `needs`."""

    ref: Known
    """log π_ref"""
    prev: Known = field(default_factory=dict)
    """log-probability under the policy as the round began"""
    drawn: Known = field(default_factory=dict)
    """log-probability under the policy that drew the response, untruncated"""
    win: Known = field(default_factory=dict)
    """P(y ≻ π_t)"""
    width: Known = field(default_factory=dict)
    """Γ(y): how uncertain the reward of a response is"""
    novelty: Known = field(default_factory=dict)
    """1/√(how often the like of a response was collected before)"""
    samples: Mapping[str, Sequence[tuple[Response, float]]] = field(default_factory=dict)
    """row → the responses its bonus is on, with weights that sum to one"""
    credit: Mapping[str, Advantages] = field(default_factory=dict)
    """what each token of a response was worth, and the law that drew it"""
    said: Mapping[str, float] = field(default_factory=dict)
    """what a person may want to know of them"""


def name_of(row: Row) -> str:
    """The id of an answered query, of a single response, or of a row of a file."""
    return row.query.id if isinstance(row, Preference) else row.id


def responses_of(row: Row) -> tuple[Response, ...]:
    """The responses that a row's loss looks at."""
    if isinstance(row, Preference):
        return (row.query.a, row.query.b)
    if isinstance(row, Ranking):
        return row.responses
    return (row.response,) if isinstance(row, Rating) else (row,)


def labelled(row: Row) -> list[tuple[Response, bool]]:
    """A row as points; of a pair, the preferred response is the desirable one."""
    if isinstance(row, Preference):
        return [(row.query.a, row.p >= 0.5), (row.query.b, row.p <= 0.5)]
    if not isinstance(row, Response):
        raise TypeError(f"a {type(row).__name__} is no labelled response; give it to a reward loss")
    return [(row, row.desirable is not False)]


def strangers(rows: Sequence[Row]) -> list[Response]:
    """Every prompt of the batch with a response to another of its prompts.

    KTO estimates the KL by such mismatched pairs. ValueError where there is no other prompt.
    """
    responses = [r for row in rows for r in responses_of(row)]
    prompts = [r.prompt.tokens for r in responses]
    if len(set(prompts)) < 2:
        raise ValueError(
            f"a mismatched pair needs another prompt in the batch, got {len(rows)} rows with "
            f"{len(set(prompts))} prompt; raise learn.batch"
        )
    found = []
    for place, response in enumerate(responses):
        others = (*range(place + 1, len(responses)), *range(place))
        other = responses[next(i for i in others if prompts[i] != prompts[place])]
        found.append(replace(other, prompt=response.prompt, id=f"{response.id}~{other.id}"))
    return found
