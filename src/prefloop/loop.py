"""The loop. Every method is this loop with different parts."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from prefloop.types import Candidates, Preference, Query

Metrics = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What makes one method differ from another; each part is told the round it works for."""

    sample: Callable[[int], Sequence[Candidates]]
    """K responses to each of the round's prompts, from whoever proposes them"""
    choose: Callable[[int, Sequence[Candidates]], Sequence[Query]]
    """which two of the K to ask about"""
    ask: Callable[[int, Sequence[Query]], Sequence[Preference]]
    """the oracle's answers; those that could not be had are left out"""
    learn: Callable[[int, Sequence[Preference]], Metrics]
    """move the policy towards what was preferred"""
    measure: Callable[[int], Metrics]
    """what the alignment did to the policy so far"""


def online(parts: Parts, rounds: Iterable[int]) -> Iterator[Metrics]:
    """Sample, choose, ask, learn, measure; yield each round's metrics.

    Stop by not asking for the next round. A part that has already done its work for a round, in
    a run that was killed and continued, returns what it did.
    """
    for round in rounds:
        candidates = parts.sample(round)
        queries = parts.choose(round, candidates)
        answers = parts.ask(round, queries)
        learned = parts.learn(round, answers)
        yield {"round": round, **learned, **parts.measure(round)}
