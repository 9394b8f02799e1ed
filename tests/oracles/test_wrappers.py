"""Oracles made of oracles."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from prefloop.oracles._border import must_compare, must_score
from prefloop.oracles.both_orders import BothOrders
from prefloop.oracles.budget import Budget
from prefloop.oracles.noisy import Noisy
from prefloop.oracles.recorded import Recorded
from prefloop.oracles.sentiment import Sentiment
from prefloop.types import Answer, Missing, Oracle, Preference
from worlds import Says, longer_is_better, query

QUERIES = [query("aaa", "a", "1"), query("a", "aaa", "2"), query("aa", "bb", "3")]


@dataclass(frozen=True, kw_only=True)
class Watched:
    """Passes on what the inner oracle says, and remembers what it was asked."""

    inner: Oracle
    asked: list[list[str]] = field(default_factory=list)

    def ask(self, queries) -> Iterator[Answer]:
        self.asked.append([q.id for q in queries])
        yield from self.inner.ask(queries)


@dataclass(frozen=True, kw_only=True)
class Shuffled:
    """Answers come last first."""

    inner: Oracle

    def ask(self, queries) -> Iterator[Answer]:
        yield from list(self.inner.ask(queries))[::-1]


def biased(bonus: float) -> Says:
    """A judge with a fixed bonus for whatever is shown first."""
    return Says(p=lambda q: longer_is_better(q) * (1 - 2 * abs(bonus)) + abs(bonus) + bonus)


def labels(oracle: Oracle, queries=QUERIES) -> dict[str, object]:
    return {answer.query_id: answer.p for answer in oracle.ask(queries)}


@pytest.mark.parametrize("bonus", [0.0, 0.1, -0.2])
def test_asking_both_ways_cancels_an_additive_position_bias(bonus):
    found = labels(BothOrders(inner=biased(bonus)))
    shrunk = 1 - 2 * abs(bonus)
    for q in QUERIES:
        assert found[q.id] == pytest.approx(0.5 + shrunk * (longer_is_better(q) - 0.5))


def test_the_guidebooks_judge_with_a_logit_bias_is_only_shrunk():
    """s = 0.8 and b = 0.5: the mean of σ(s + b) and σ(s − b) is .68014, not σ(s) = .68997."""
    first = {
        "1": 1 / (1 + 2.718281828459045**-1.3),
        "1~swapped": 1 - 1 / (1 + 2.718281828459045**-0.3),
    }
    (answer,) = BothOrders(inner=Says(p=lambda q: first[q.id])).ask(QUERIES[:1])
    assert answer.p == pytest.approx(0.68014, abs=1e-5)


def test_both_orders_costs_both_and_keeps_what_was_said():
    inner = Noisy(inner=Says(p=longer_is_better, cost=1.5), rate=0.0)
    (answer,) = BothOrders(inner=inner).ask(QUERIES[:1])
    assert answer.cost == 3.0
    assert len(json.loads(answer.raw)) == 2
    assert answer.oracle == "both_orders(noisy(says))"


@pytest.mark.parametrize("lost", ["1", "1~swapped"])
def test_half_an_answer_is_none(lost):
    inner = Says(p=lambda q: Missing("no reply") if q.id == lost else 0.7)
    assert labels(BothOrders(inner=inner))["1"] == Missing("no reply")


def test_an_answer_is_given_as_soon_as_both_halves_are_in():
    seen = []

    def remember(q):
        seen.append(q.id)
        return 0.5

    next(BothOrders(inner=Says(p=remember)).ask(QUERIES))
    assert seen == ["1", "1~swapped"]


def test_the_halves_may_come_in_any_order():
    inner = Shuffled(inner=biased(0.1))
    assert labels(BothOrders(inner=inner)) == labels(BothOrders(inner=biased(0.1)))


def test_what_the_inner_oracle_has_not_answered_yet_is_not_answered():
    class Slow(Says):
        def ask(self, queries):
            yield from (answer for answer in super().ask(queries) if answer.query_id[0] != "2")

    assert set(labels(BothOrders(inner=Slow(p=longer_is_better)))) == {"1", "3"}


def test_the_same_question_twice_is_answered_twice():
    twice = [query("aaa", "a"), query("aaa", "a")]
    assert len(list(BothOrders(inner=Says(p=longer_is_better)).ask(twice))) == 2


def test_noise_pulls_an_answer_towards_its_opposite():
    assert labels(Noisy(inner=Says(p=lambda q: 0.9), rate=0.2))["1"] == pytest.approx(0.74)
    assert labels(Noisy(inner=Says(p=lambda q: 1.0), rate=0.5))["1"] == 0.5
    assert labels(Noisy(inner=Says(p=lambda q: 0.9), rate=0.0))["1"] == 0.9


def test_sampled_noise_flips_at_the_rate_and_the_same_answers_again():
    queries = [query("a", "b", str(i)) for i in range(2000)]
    oracle = Noisy(inner=Says(p=lambda q: 1.0), rate=0.2, sampled=True)
    found = labels(oracle, queries)
    assert set(found.values()) == {0.0, 1.0}
    flipped = sum(p == 0.0 for p in found.values()) / 2000
    assert abs(flipped - 0.2) < 4 * (0.16 / 2000) ** 0.5
    assert labels(oracle, queries[::-1]) == found


def test_noise_leaves_a_missing_label_missing():
    assert labels(Noisy(inner=Says(p=lambda q: Missing("no reply")), rate=0.2))["1"] == Missing(
        "no reply"
    )


@pytest.mark.parametrize("rate", [-0.1, 0.6, float("nan")])
def test_a_rate_of_noise_is_at_most_a_half(rate):
    with pytest.raises(ValueError, match=r"rate must lie in \[0, 0.5\], got"):
        Noisy(inner=Says(p=longer_is_better), rate=rate)


def test_beyond_the_budget_nobody_is_asked():
    watched = Watched(inner=Says(p=longer_is_better))
    found = labels(Budget(inner=watched, limit=2.0))
    assert found["1"] == longer_is_better(QUERIES[0]) and found["2"] == longer_is_better(QUERIES[1])
    assert found["3"] == Missing("budget of 2 labels is spent", final=True)
    assert [name for call in watched.asked for name in call] == ["1", "2"]


@pytest.mark.parametrize(("limit", "answered"), [(0.0, 0), (1.0, 1), (2.0, 1), (5.9, 2), (6.0, 3)])
def test_a_dearer_oracle_is_asked_less_often(limit, answered):
    """Asking both ways round costs two; that price is learnt from one question, at any limit."""
    found = labels(Budget(inner=BothOrders(inner=Says(p=longer_is_better)), limit=limit))
    assert sum(not isinstance(p, Missing) for p in found.values()) == answered


def test_a_budget_lasts_over_many_calls():
    budget = Budget(inner=Says(p=longer_is_better), limit=4.0)
    first, second = labels(budget), labels(budget)
    assert not any(isinstance(p, Missing) for p in first.values())
    assert [isinstance(p, Missing) for p in second.values()] == [False, True, True]
    assert budget.left == 0


def test_once_the_price_is_known_the_rest_is_asked_together():
    watched = Watched(inner=Says(p=longer_is_better))
    list(Budget(inner=watched, limit=100.0).ask(QUERIES))
    assert watched.asked == [["1"], ["2", "3"]]


def test_a_restarted_run_says_what_was_spent():
    found = labels(Budget(inner=Says(p=longer_is_better), limit=5.0, spent=4.0))
    assert [isinstance(p, Missing) for p in found.values()] == [False, True, True]


def test_what_is_not_answered_costs_nothing():
    answers = list(Budget(inner=Says(p=longer_is_better), limit=1.0).ask(QUERIES))
    assert [answer.cost for answer in answers] == [1.0, 0.0, 0.0]


def test_a_negative_budget_is_refused():
    with pytest.raises(ValueError, match=r"must not be negative, got -1.0 and 0.0"):
        Budget(inner=Says(p=longer_is_better), limit=-1.0)


def test_recorded_answers_are_found_by_id_by_content_and_the_other_way_round():
    recorded = Recorded(answers={"1": 0.8})
    assert labels(recorded, [QUERIES[0], QUERIES[0].swap()]) == {
        "1": 0.8,
        "1~swapped": pytest.approx(0.2),
    }
    known = Recorded.of([Preference(query=QUERIES[0], p=0.8)])
    renamed = [query("aaa", "a", "new"), query("a", "aaa", "other")]
    assert labels(known, renamed) == {"new": 0.8, "other": pytest.approx(0.2)}


def test_what_was_never_recorded_is_missing_and_free():
    (answer,) = Recorded(answers={}).ask(QUERIES[:1])
    assert answer.p == Missing("no answer is recorded for this pair")
    assert answer.cost == 0


def test_a_recorded_answer_is_a_probability():
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\], got 2.0 for 'x'"):
        Recorded(answers={"x": 2.0})


def test_a_scorer_is_not_an_oracle():
    """Called directly: in tests the type checker refuses earlier."""
    with pytest.raises(
        ValueError, match=r"budget needs an oracle .* got Sentiment; a scorer becomes"
    ):
        must_compare(Sentiment(), "budget")


def test_an_oracle_is_not_a_scorer():
    with pytest.raises(ValueError, match=r"bradley_terry needs a scorer .* got Says; one with"):
        must_score(Says(p=longer_is_better), "bradley_terry")
