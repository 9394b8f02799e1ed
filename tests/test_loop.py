"""The loop: five verbs in one order, and nothing else."""

from collections.abc import Callable
from typing import Any

import worlds
from prefloop.loop import Parts, online
from prefloop.types import Preference


def recorded(calls: list[tuple[Any, ...]]) -> Parts:
    """Parts that write down what they were called with."""

    def verb(name: str, gives: Any) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            calls.append((name, *given))
            return gives

        return call

    query = worlds.query("a", "b")
    return Parts(
        sample=verb("sample", ["candidates"]),
        choose=verb("choose", [query]),
        ask=verb("ask", [Preference(query=query, p=1.0)]),
        learn=verb("learn", {"loss": 0.5, "kl": "of training"}),
        measure=verb("measure", {"kl": 2.0}),
    )


def test_each_verb_gets_what_the_one_before_gave() -> None:
    calls: list[tuple[Any, ...]] = []
    query = worlds.query("a", "b")
    list(online(recorded(calls), [7]))
    assert calls == [
        ("sample", 7),
        ("choose", 7, ["candidates"]),
        ("ask", 7, [query]),
        ("learn", 7, [Preference(query=query, p=1.0)]),
        ("measure", 7),
    ]


def test_a_rounds_metrics_are_those_of_learning_and_measuring() -> None:
    assert list(online(recorded([]), [3, 4])) == [
        {"round": 3, "loss": 0.5, "kl": 2.0},
        {"round": 4, "loss": 0.5, "kl": 2.0},
    ]


def test_a_round_that_is_not_asked_for_is_not_begun() -> None:
    calls: list[tuple[Any, ...]] = []
    rounds = online(recorded(calls), range(1, 100))
    assert calls == []
    next(rounds)
    assert {round for _, round, *_ in calls} == {1}
