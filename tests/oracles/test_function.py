"""A user's function as an oracle, and all the ways in which it can go wrong."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from prefloop import plugins
from prefloop.oracles._errors import OracleError
from prefloop.oracles.function import Function
from prefloop.types import Answer, Missing
from worlds import query, response

QUERIES = [query("aaa", "a", "1"), query("a", "aaa", "2")]


def longer(queries):
    return [float(len(q.a.text) > len(q.b.text)) for q in queries]


def lengths(responses):
    return [len(r.text) for r in responses]


def returns(*values):
    return Function(target=lambda _: list(values))


def test_one_probability_per_query():
    answers = list(Function(target=longer).ask(QUERIES))
    assert [(answer.query_id, answer.p, answer.raw) for answer in answers] == [
        ("1", 1.0, "1.0"),
        ("2", 0.0, "0.0"),
    ]
    assert answers[0].oracle == f"{__name__}:longer"


def test_it_is_found_by_name():
    by_name = Function(target=f"{__name__}:longer")
    assert [answer.p for answer in by_name.ask(QUERIES)] == [1.0, 0.0]
    assert next(by_name.ask(QUERIES)).oracle == f"{__name__}:longer"


def test_it_scores_too():
    assert Function(target=lengths).score([response("aaa"), response("a")]) == [3.0, 1.0]


def test_it_costs_what_you_say():
    assert [answer.cost for answer in Function(target=longer, cost=0.02).ask(QUERIES)] == [0.02] * 2


@pytest.mark.parametrize(
    "value", [True, 1, 1.0, np.float32(1.0), np.bool_(True), torch.tensor(1.0)], ids=repr
)
def test_anything_like_a_number_is_one(value):
    assert [answer.p for answer in returns(value, 0.5).ask(QUERIES)] == [1.0, 0.5]


def test_an_array_or_a_generator_is_as_good_as_a_list():
    for target in (lambda qs: np.array([0.2, 0.7]), lambda qs: (p for p in (0.2, 0.7))):
        assert [answer.p for answer in Function(target=target).ask(QUERIES)] == [0.2, 0.7]


@pytest.mark.parametrize("value", [None, math.nan, "A", "0.5", 1.2, -0.1, [0.5, 0.5], object()])
def test_what_is_no_probability_is_missing_for_that_query_alone(value):
    bad, good = returns(value, 0.5).ask(QUERIES)
    assert isinstance(bad.p, Missing) and repr(value) in bad.p.reason
    assert good.p == 0.5


def test_a_function_may_say_itself_why_there_is_no_label():
    assert next(returns(Missing("no reply"), 0.5).ask(QUERIES)).p == Missing("no reply")


@pytest.mark.parametrize(
    ("result", "got"),
    [
        ([0.5], "1 answers"),
        ([0.5] * 3, "3 answers"),
        (0.5, "0.5"),
        (None, "None"),
        ("AB", "'AB'"),
        ({"1": 0.5, "2": 0.5}, "{'1': 0.5, '2': 0.5}"),
    ],
    ids=repr,
)
def test_a_wrong_number_of_answers_trusts_none(result, got):
    message = f"must return a list with one number for each of the 2 items it was given, got {got}"
    with pytest.raises(OracleError) as error:
        list(Function(target=lambda _: result).ask(QUERIES))
    assert message in str(error.value)


def test_an_exception_names_the_function_and_keeps_the_cause():
    def broken(queries):
        raise KeyError("score")

    with pytest.raises(OracleError, match=r"broken raised KeyError: 'score'") as error:
        list(Function(target=broken).ask(QUERIES))
    assert isinstance(error.value.__cause__, KeyError)


def test_an_exception_halfway_through_a_generator_trusts_nothing():
    def half(queries):
        yield 0.5
        raise TimeoutError("gone")

    with pytest.raises(OracleError, match="half raised TimeoutError: gone"):
        list(Function(target=half).ask(QUERIES))


def test_nobody_is_asked_about_nothing():
    def never(queries):
        raise AssertionError

    assert list(Function(target=never).ask([])) == []


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere:judge", r"cannot load 'nowhere:judge': No module named 'nowhere'"),
        ("math:judge", r"cannot load 'math:judge': .*write it as module:function"),
        ("judge", r"cannot load 'judge': .*write it as module:function"),
        (":judge", r"cannot load ':judge': .*write it as module:function"),
    ],
)
def test_a_function_that_is_not_there_is_found_out_at_once(target, message):
    with pytest.raises(LookupError, match=message):
        Function(target=target)


def test_what_cannot_be_called_is_refused():
    with pytest.raises(ValueError, match=r"target must be a function, got 3.14"):
        Function(target="math:pi")


class Judge:
    """An oracle of the user's own."""

    def __init__(self, *, strictness: float, seed: int = 7):
        self.strictness, self.seed = strictness, seed

    def ask(self, queries):
        return (Answer(query_id=q.id, p=self.strictness, oracle="judge") for q in queries)


def strict(queries, *, strictness=0.5):
    return [strictness for _ in queries]


class TestByNameInAConfig:
    def test_a_function_is_wrapped_and_its_options_are_bound(self):
        oracle = plugins.build("oracles", f"{__name__}:strict", {"strictness": 0.9}, seed=3)
        assert [answer.p for answer in oracle.ask(QUERIES)] == [0.9, 0.9]
        assert next(oracle.ask(QUERIES)).oracle == f"{__name__}:strict"

    def test_a_class_is_built_with_its_options_and_the_runs_seed(self):
        oracle = plugins.build(
            "oracles", f"{__name__}:Judge", {"strictness": 0.9}, seed=3, device="cpu"
        )
        assert isinstance(oracle, Judge)
        assert (oracle.strictness, oracle.seed) == (0.9, 3)

    def test_it_may_be_part_of_another(self):
        oracle = plugins.build("oracles", "noisy", {"inner": f"{__name__}:strict", "rate": 0})
        assert isinstance(oracle.inner, Function)
        scored = plugins.build("oracles", "bradley_terry", {"scorer": f"{__name__}:lengths"})
        assert [answer.raw for answer in scored.ask(QUERIES)] == ["[3.0, 1.0]", "[1.0, 3.0]"]

    def test_a_partial_is_known_by_its_function(self):
        assert next(Function(target=partial(strict)).ask(QUERIES)).oracle == f"{__name__}:strict"

    def test_a_loss_of_your_own_stays_a_function(self):
        loss = plugins.build("losses", f"{__name__}:strict", {"strictness": 0.1})
        assert loss([1, 2]) == [0.1, 0.1]
