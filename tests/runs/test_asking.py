"""Whatever an oracle does, good answers are kept, none is bought twice, and the error says why."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import accounts
import small
from prefloop.oracles._errors import OracleError
from prefloop.runs.ask import AskError
from prefloop.store.ledger import Ledger
from prefloop.types import Answer, Missing, Query

ONE = {"rounds": 1, "ask.retries": 0, "ask.max_missing": 0.2, "learn.epochs": 1}


@dataclass(frozen=True, kw_only=True)
class Spoiled:
    """An oracle that answers as its clerk does, but for what is done to the n-th answer."""

    clerk: small.Clerk
    number: int
    harm: Callable[[Answer], Any]

    def ask(self, queries: Sequence[Query]) -> Iterator[Answer]:
        for i, answer in enumerate(self.clerk.ask(queries), 1):
            yield self.harm(answer) if i == self.number else answer


def unwell(answer: Answer) -> Answer:
    raise ConnectionError("the judge has gone home")


BROKEN: dict[str, tuple[Callable[[Answer], Any], type[Exception], str]] = {
    "raises": (unwell, ConnectionError, "gone home"),
    "answers what it was not asked": (
        lambda a: replace(a, query_id="r9.9.9"),
        AskError,
        r"answered 'r9.9.9', which it was not asked; .*with the query's id",
    ),
    "answers a question twice": (
        lambda a: replace(a, query_id="r1.0.0-1"),
        AskError,
        r"answered 'r1\.0\.\d-\d', a second time; it must give one Answer a query",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_an_oracle_that_breaks_off_keeps_what_it_said_before(
    fault: str, model: str, tmp_path: Path
) -> None:
    harm, error, says = BROKEN[fault]
    folder = tmp_path / "run"
    clerk = small.Clerk(book=tmp_path / "asked")
    if "twice" in fault:
        harm = lambda a: replace(a, query_id=clerk.asked()[0])
    with pytest.raises(error, match=says):
        small.small_run(model, folder, ONE, oracle=Spoiled(clerk=clerk, number=5, harm=harm))
    kept = [row[0] for row in accounts.ledger(folder)["answers"]]
    assert sorted(kept) == sorted(clerk.asked()[:4])
    small.small_run(model, folder, ONE, oracle=clerk)
    assert accounts.twice(clerk.asked()) == {clerk.asked()[4]: 2}


NO_LABEL = {
    "NaN": (math.nan, "expected a number, got nan"),
    "None": (None, "expected a number, got None"),
    "1.2": (1.2, r"expected a probability in \[0, 1\], got 1.2"),
    "a word": ("A", "expected a number, got 'A'"),
    "Missing": (Missing("timed out"), "timed out"),
}


@pytest.mark.parametrize("answer", NO_LABEL)
def test_what_is_no_probability_is_a_missing_label(answer: str, model: str, tmp_path: Path) -> None:
    value, reason = NO_LABEL[answer]
    folder, clerk = tmp_path / "run", small.Clerk(book=tmp_path / "asked")
    harm = partial(with_p, value)
    found = small.small_run(model, folder, ONE, oracle=Spoiled(clerk=clerk, number=5, harm=harm))
    assert (found.metrics[-1]["labels_total"], found.metrics[-1]["labels_missing"]) == (7, 1)
    assert found.metrics[-1]["rows"] == 7
    (lost,) = [row for row in accounts.ledger(folder)["answers"] if row[1] is None]
    assert lost[0] == clerk.asked()[4]
    assert re.search(reason, lost[2])


def with_p(value: object, answer: Answer) -> Answer:
    """The answer with another p, whatever its type."""
    changed = copy(answer)
    object.__setattr__(changed, "p", value)
    return changed


@dataclass(frozen=True, kw_only=True)
class Forgetful:
    """An oracle that answers each question only the n-th time that it is put."""

    clerk: small.Clerk
    times: int
    of: Callable[[Query], bool] = lambda query: True

    def ask(self, queries: Sequence[Query]) -> Iterator[Answer]:
        for query, answer in zip(queries, self.clerk.ask(queries), strict=True):
            early = self.clerk.asked().count(query.id) < self.times
            yield replace(answer, p=Missing("busy")) if early and self.of(query) else answer


def test_a_missing_label_is_asked_for_again_as_often_as_is_set(model: str, tmp_path: Path) -> None:
    clerk = small.Clerk(book=tmp_path / "asked")
    settings = {**ONE, "ask.retries": 2, "ask.max_missing": 0.0}
    oracle = Forgetful(clerk=clerk, times=3)
    found = small.small_run(model, tmp_path / "run", settings, oracle=oracle)
    assert found.metrics[-1]["labels_total"] == 8
    assert set(accounts.twice(clerk.asked()).values()) == {3}


def test_too_many_missing_labels_stop_the_run_and_only_they_are_asked_again(
    model: str, tmp_path: Path
) -> None:
    folder, clerk = tmp_path / "run", small.Clerk(book=tmp_path / "asked")
    is_hard = lambda query: query.prompt.text > "the film is"
    with pytest.raises(AskError, match=r"of round 1's 8 labels are missing, .*max_missing=0\.2"):
        small.small_run(model, folder, ONE, oracle=Forgetful(clerk=clerk, times=2, of=is_hard))
    hard = sum(prompt > "the film is" for prompt in small.PROMPTS)
    assert len(clerk.asked()) == 8 and 0 < hard < 8
    found = small.small_run(model, folder, ONE, oracle=Forgetful(clerk=clerk, times=2, of=is_hard))
    assert len(clerk.asked()) == 8 + hard
    assert found.metrics[-1]["labels_total"] == 8


def test_labels_that_cannot_be_had_may_be_given_up(model: str, tmp_path: Path) -> None:
    folder, clerk = tmp_path / "run", small.Clerk(book=tmp_path / "asked")
    oracle = Forgetful(clerk=clerk, times=99, of=lambda query: query.prompt.text > "the film is")
    with pytest.raises(AskError, match="max_missing"):
        small.small_run(model, folder, ONE, oracle=oracle)
    found = small.small_run(model, folder, {**ONE, "ask.max_missing": 1.0}, oracle=oracle)
    assert 0 < found.metrics[-1]["rows"] < 8


def test_the_complaint_names_the_reasons(model: str, tmp_path: Path) -> None:
    clerk = small.Clerk(book=tmp_path / "asked")
    with pytest.raises(AskError, match=r"8 × busy.*same command"):
        small.small_run(model, tmp_path / "a", ONE, oracle=Forgetful(clerk=clerk, times=99))
    with pytest.raises(AskError, match=r"8 × no answer came.*same command"):
        small.small_run(model, tmp_path / "b", ONE, oracle=Silent())


@dataclass(frozen=True)
class Silent:
    """An oracle that has nothing to say."""

    def ask(self, queries: Sequence[Query]) -> Iterator[Answer]:
        return iter(())


def test_a_function_with_the_wrong_number_of_answers_is_an_error_and_costs_nothing(
    model: str, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(OracleError, match=r"one number for each of the 8 items.*got 7 answers"):
        small.small_run(model, folder, ONE, oracle=lambda queries: [0.5] * (len(queries) - 1))
    assert accounts.ledger(folder)["answers"] == []
    assert small.small_run(model, folder, ONE).metrics[-1]["labels_total"] == 8


def test_labels_are_bought_up_to_the_rounds_budget_and_no_further(
    model: str, tmp_path: Path
) -> None:
    folder, clerk = tmp_path / "run", small.Clerk(book=tmp_path / "asked")
    found = small.small_run(model, folder, {"ask.labels": 3}, oracle=clerk)
    assert [m["labels_total"] for m in found.metrics] == [0, 3, 6]
    assert len(clerk.asked()) == 6
    assert [m.get("rows") for m in found.metrics] == [None, 3, 3]


def test_an_answer_is_committed_before_the_next_is_waited_for(model: str, tmp_path: Path) -> None:
    """A fast oracle that then stalls loses nothing to a kill."""
    folder, seen = tmp_path / "run", []

    @dataclass(frozen=True)
    class Curious:
        def ask(self, queries: Sequence[Query]) -> Iterator[Answer]:
            reader = Ledger.open(folder / "ledger.sqlite")
            for query in queries:
                seen.append(len(reader.answered(1)))
                yield Answer(query_id=query.id, p=1.0)
            reader.close()

    small.small_run(model, folder, ONE, oracle=Curious())
    assert seen == list(range(8))
