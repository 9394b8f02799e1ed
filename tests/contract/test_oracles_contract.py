"""Every file in oracles/ against every promise, and the promises against wrong oracles.

A class is built from `OPTIONS` below; what it needs beyond that is filled by its type. A new oracle
that cannot be built so adds a line there.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from json import dumps
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
from oracle_promises import (
    OF_EVERY_CLASS,
    OF_EVERY_ORACLE,
    OF_EVERY_SCORER,
    QUESTIONS,
    a_score_depends_on_its_response_alone,
    an_answer_depends_on_its_query_alone,
    an_answer_is_a_probability_with_a_source_and_a_cost,
    every_query_gets_one_answer_by_its_id,
    every_response_gets_one_finite_score,
    identical_responses_are_a_tie,
    it_is_a_frozen_dataclass_of_keywords,
    naming_the_pair_the_other_way_round_swaps_the_answer,
    no_queries_no_answers,
    the_scores_tell_responses_apart,
)
from promises import exemptions, keep
from safetensors.numpy import save_file

import small
import tiny
from prefloop import plugins
from prefloop.models.gate import Mixture
from prefloop.types import Answer, Oracle, Preference, Query, Scorer
from worlds import Lengths, Says, longer_is_better

ORACLES = {name: plugins.find("oracles", name) for name in plugins.names("oracles")}


def judge_or_rate(items: list[Any]) -> list[float]:
    """A user's function: P(a ≻ b) of queries, lengths of responses."""
    return [
        longer_is_better(item) if isinstance(item, Query) else float(len(item.text))
        for item in items
    ]


def recorded() -> dict[str, float]:
    """What Recorded.of makes of the questions, each asked one way round."""
    known = [Preference(query=q, p=longer_is_better(q)) for q in QUESTIONS]
    return dict(ORACLES["recorded"].of(known).answers)


def head(folder: Path) -> str:
    """The folder of a linear reward on the testbed's features."""
    width = 192
    folder.mkdir()
    said = {"features": {"name": "lsa", "options": {}}, "shift": 0.5}
    (folder / "head.json").write_text(dumps(said))
    save_file({"weight": np.linspace(-1, 1, width)}, folder / "head.safetensors")
    return str(folder)


def mixture(folder: Path) -> str:
    """Two attributes on the testbed's features, and a gate over them that nobody trained."""
    head(folder)
    save_file({"weight": np.linspace(-1, 1, 2 * 192).reshape(2, 192)}, folder / "head.safetensors")
    Mixture(192, 2, hidden=8).save(folder)
    return str(folder)


OPTIONS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "bradley_terry": lambda _: {"labels": "probability", "scorer": Lengths()},
    "budget": lambda _: {"limit": 10_000.0},
    "feature_head": lambda tmp: {"path": head(tmp / "head")},
    "function": lambda _: {"target": judge_or_rate},
    "gated": lambda tmp: {"path": mixture(tmp / "mixture"), "device": "cpu"},
    "pair_model": lambda tmp: {
        "path": tiny.language_model(tmp / "lm", max_position_embeddings=256),
        "max_tokens": 256,
    },
    "implicit": lambda tmp: {
        "path": small.llama(tmp / "tuned", 1),
        "reference": small.llama(tmp / "start"),
    },
    "learned": lambda _: {"reward": lambda: Lengths()},
    "pessimistic": lambda _: {"scorers": (Lengths(), Lengths(worth=3.0))},
    "recorded": lambda _: {"answers": recorded()},
    "reward_model": lambda tmp: {"path": tiny.reward_model(tmp / "rm")},
}
BY_TYPE: dict[Any, Any] = {Oracle: Says(p=longer_is_better), Scorer: Lengths()}


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """One of each, made once."""
    made: dict[str, Any] = {}

    def build(name: str) -> Any:
        if name not in made:
            options = OPTIONS.get(name, lambda _: {})(tmp_path_factory.mktemp(name))
            hints = get_type_hints(ORACLES[name])
            for option, default in plugins.card("oracles", name).options.items():
                if not default and option not in options:
                    options[option] = BY_TYPE[hints[option]]
            made[name] = ORACLES[name](**options)
        return made[name]

    return build


def promises_of(kind: type) -> tuple[Callable[[Any], None], ...]:
    asks, scores = issubclass(kind, Oracle), issubclass(kind, Scorer)
    assert asks or scores, f"{kind.__name__} must have ask(queries) or score(responses)"
    return (*OF_EVERY_ORACLE,) * asks + (*OF_EVERY_SCORER,) * scores


@pytest.mark.parametrize(
    ("promise", "name"),
    [
        pytest.param(promise, name, id=f"{name}-{promise.__name__}")
        for name, kind in ORACLES.items()
        for promise in promises_of(kind)
    ],
)
def test_every_oracle_keeps(promise, name, example):
    keep(promise, ORACLES[name], example(name))


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("promise", OF_EVERY_CLASS, ids=lambda f: f.__name__)
def test_every_class_keeps(promise, name):
    keep(promise, ORACLES[name])


@pytest.mark.parametrize("name", ORACLES)
def test_only_promises_that_exist_are_exempt(name):
    kind = ORACLES[name]
    known = {promise.__name__ for promise in (*promises_of(kind), *OF_EVERY_CLASS)}
    assert set(exemptions(kind)) <= known


@dataclass(frozen=True, kw_only=True)
class Broken:
    """An oracle whose every answer is spoilt by a function of (query, its place in the call)."""

    spoil: Callable[[Query, int], Answer | None]

    def ask(self, queries) -> Iterator[Answer]:
        for place, q in enumerate(queries):
            if answer := self.spoil(q, place):
                yield answer


def answer(q: Query, p: float, **changes: Any) -> Answer:
    return Answer(**{"query_id": q.id or "hash", "p": p, "oracle": "broken", **changes})


MUTANTS: dict[str, Callable[[Query, int], Answer | None]] = {
    "forgets_one": lambda q, i: None if i == 3 else answer(q, 0.5),
    "wrong_id": lambda q, i: answer(q, 0.5, query_id=f"mine-{i}"),
    "repeats_an_id": lambda q, i: answer(q, 0.5, query_id="1-1"),
    "too_sure": lambda q, i: answer(q, 1.5),
    "anonymous": lambda q, i: answer(q, 0.5, oracle=""),
    "pays_us": lambda q, i: answer(q, 0.5, cost=-1.0),
    "favours_the_first": lambda q, i: answer(q, 0.7),
    "breaks_ties": lambda q, i: answer(q, 1.0 if q.a.text >= q.b.text else 0.0),
    "depends_on_order": lambda q, i: answer(q, i / len(QUESTIONS)),
}


@pytest.mark.parametrize(
    ("promise", "mutant"),
    [
        (every_query_gets_one_answer_by_its_id, "forgets_one"),
        (every_query_gets_one_answer_by_its_id, "wrong_id"),
        (every_query_gets_one_answer_by_its_id, "repeats_an_id"),
        (an_answer_is_a_probability_with_a_source_and_a_cost, "too_sure"),
        (an_answer_is_a_probability_with_a_source_and_a_cost, "anonymous"),
        (an_answer_is_a_probability_with_a_source_and_a_cost, "pays_us"),
        (naming_the_pair_the_other_way_round_swaps_the_answer, "favours_the_first"),
        (identical_responses_are_a_tie, "breaks_ties"),
        (an_answer_depends_on_its_query_alone, "depends_on_order"),
    ],
    ids=lambda x: getattr(x, "__name__", x),
)
def test_a_wrong_oracle_breaks_its_promise(promise, mutant):
    with pytest.raises(AssertionError):
        promise(Broken(spoil=MUTANTS[mutant]))


class AlwaysAnswers:
    """Not a dataclass, and it answers when nobody asked."""

    def ask(self, queries):
        yield Answer(query_id="", p=0.5)


def test_answers_to_nothing_are_noticed():
    with pytest.raises(AssertionError):
        no_queries_no_answers(AlwaysAnswers())
    with pytest.raises(AssertionError):
        it_is_a_frozen_dataclass_of_keywords(AlwaysAnswers)


@dataclass(frozen=True, kw_only=True)
class BrokenScorer:
    rate: Callable[[Any, int], Any]

    def score(self, responses):
        return [self.rate(r, place) for place, r in enumerate(responses)]


@pytest.mark.parametrize(
    ("promise", "rate"),
    [
        (every_response_gets_one_finite_score, lambda r, i: float("nan")),
        (every_response_gets_one_finite_score, lambda r, i: 1),
        (the_scores_tell_responses_apart, lambda r, i: 0.0),
        (a_score_depends_on_its_response_alone, lambda r, i: float(i)),
    ],
)
def test_a_wrong_scorer_breaks_its_promise(promise, rate):
    with pytest.raises(AssertionError):
        promise(BrokenScorer(rate=rate))
