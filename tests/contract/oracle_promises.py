"""What every oracle and every scorer promises, checked on an example of it."""

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from inspect import Parameter, signature
from itertools import product
from math import isfinite
from typing import Any

import pytest

from prefloop.oracles._border import query_id
from prefloop.types import Answer, Missing, Oracle, Query, Scorer
from worlds import query, response

TEXTS = (" dreadful, stupid mess", " film", " wonderful and moving film", "")
QUESTIONS = [query(a, b, f"{i}-{j}") for (i, a), (j, b) in product(enumerate(TEXTS), repeat=2)]


def answers(oracle: Oracle, queries: Sequence[Query]) -> dict[str, Answer]:
    """By query id; each once."""
    found = list(oracle.ask(queries))
    assert len({answer.query_id for answer in found}) == len(found)
    return {answer.query_id: answer for answer in found}


def probabilities(oracle: Oracle, queries: Sequence[Query]) -> dict[str, Any]:
    """P(a ≻ b) by query id."""
    return {name: answer.p for name, answer in answers(oracle, queries).items()}


def every_query_gets_one_answer_by_its_id(oracle: Oracle) -> None:
    assert set(answers(oracle, QUESTIONS)) == {q.id for q in QUESTIONS}
    anonymous = [query(q.a.text, q.b.text) for q in QUESTIONS]
    assert set(answers(oracle, anonymous)) == {query_id(q) for q in anonymous}


def an_answer_is_a_probability_with_a_source_and_a_cost(oracle: Oracle) -> None:
    for answer in oracle.ask(QUESTIONS):
        assert isinstance(answer.p, Missing) or 0 <= answer.p <= 1
        assert answer.oracle and answer.cost >= 0


def no_queries_no_answers(oracle: Oracle) -> None:
    assert list(oracle.ask([])) == []


def naming_the_pair_the_other_way_round_swaps_the_answer(oracle: Oracle) -> None:
    there, back = (
        probabilities(oracle, QUESTIONS),
        probabilities(oracle, [*map(Query.swap, QUESTIONS)]),
    )
    for name, p in there.items():
        assert p + back[name + "~swapped"] == pytest.approx(1)


def identical_responses_are_a_tie(oracle: Oracle) -> None:
    same = [q for q in QUESTIONS if q.a.text == q.b.text]
    assert set(probabilities(oracle, same).values()) == {0.5}


def an_answer_depends_on_its_query_alone(oracle: Oracle) -> None:
    """Not on the order of asking, nor on what else is asked."""
    together = probabilities(oracle, QUESTIONS)
    for name, p in probabilities(oracle, QUESTIONS[::-1]).items():
        assert p == pytest.approx(together[name], abs=1e-5)
    alone = probabilities(oracle, QUESTIONS[5:6])
    assert alone["1-1"] == pytest.approx(together["1-1"], abs=1e-5)


OF_EVERY_ORACLE: tuple[Callable[[Any], None], ...] = (
    every_query_gets_one_answer_by_its_id,
    an_answer_is_a_probability_with_a_source_and_a_cost,
    no_queries_no_answers,
    naming_the_pair_the_other_way_round_swaps_the_answer,
    identical_responses_are_a_tie,
    an_answer_depends_on_its_query_alone,
)


def every_response_gets_one_finite_score(scorer: Scorer) -> None:
    scores = scorer.score([response(text) for text in TEXTS])
    assert len(scores) == len(TEXTS)
    assert all(type(score) is float and isfinite(score) for score in scores)


def the_scores_tell_responses_apart(scorer: Scorer) -> None:
    scores = scorer.score([response(text) for text in TEXTS[:3]])
    assert len(set(scores)) > 1


def a_score_depends_on_its_response_alone(scorer: Scorer) -> None:
    responses = [response(text) for text in TEXTS]
    together = scorer.score(responses)
    assert scorer.score(responses[::-1])[::-1] == pytest.approx(together, abs=1e-5)
    assert [scorer.score([r])[0] for r in responses] == pytest.approx(together, abs=1e-5)


def no_responses_no_scores(scorer: Scorer) -> None:
    assert scorer.score([]) == []


OF_EVERY_SCORER: tuple[Callable[[Any], None], ...] = (
    every_response_gets_one_finite_score,
    the_scores_tell_responses_apart,
    a_score_depends_on_its_response_alone,
    no_responses_no_scores,
)


def it_is_a_frozen_dataclass_of_keywords(kind: type) -> None:
    assert is_dataclass(kind) and kind.__dataclass_params__.frozen
    assert all(p.kind is Parameter.KEYWORD_ONLY for p in signature(kind).parameters.values())
    assert all(field.name.startswith("_") for field in fields(kind) if not field.init)


OF_EVERY_CLASS: tuple[Callable[[Any], None], ...] = (it_is_a_frozen_dataclass_of_keywords,)
