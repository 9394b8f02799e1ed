"""The Bradley–Terry law of a scorer, and what may be answered from it."""

import json
import math
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefloop.oracles._errors import OracleError
from prefloop.oracles.bradley_terry import BradleyTerry
from prefloop.types import Missing
from worlds import Lengths, query


@dataclass(frozen=True, kw_only=True)
class Gives:
    """A scorer that says the same whatever it is given."""

    scores: tuple[object, ...]

    def score(self, responses):
        return list(self.scores)


def law(a: str, b: str, **options) -> float:
    (answer,) = BradleyTerry(scorer=Lengths(), labels="probability", **options).ask([query(a, b)])
    return answer.p


def test_odds_multiply():
    """Under Bradley–Terry, odds(x, z) = odds(x, y) · odds(y, z)."""
    odds = lambda a, b: law(a, b) / (1 - law(a, b))
    assert odds("aaaa", "a") == pytest.approx(odds("aaaa", "aa") * odds("aa", "a"))


def test_it_is_the_logistic_function_of_the_scaled_difference():
    assert law("aaa", "a", scale=0.7) == pytest.approx(1 / (1 + math.exp(-0.7 * 2)))


@given(st.integers(0, 60), st.integers(0, 60), st.floats(1e-3, 1e3))
def test_both_ways_round_add_up_to_one(m, n, scale):
    assert law("a" * m, "a" * n, scale=scale) + law("a" * n, "a" * m, scale=scale) == 1


def test_a_huge_gap_is_certain_not_an_overflow():
    assert law("aa", "", scale=1e9) == 1
    assert law("", "aa", scale=1e9) == 0


def test_thresholded_labels_name_the_higher_score():
    queries = [query("aa", "a"), query("a", "aa"), query("a", "b")]
    oracle = BradleyTerry(scorer=Lengths(), labels="thresholded")
    assert [answer.p for answer in oracle.ask(queries)] == [1.0, 0.0, 0.5]


def test_sampled_labels_have_the_laws_frequency():
    queries = [query("aa", "a", f"q{i}") for i in range(2000)]
    labels = [answer.p for answer in BradleyTerry(scorer=Lengths()).ask(queries)]
    assert set(labels) == {0.0, 1.0}
    p = 1 / (1 + math.exp(-1))
    assert abs(sum(labels) / 2000 - p) < 4 * math.sqrt(p * (1 - p) / 2000)


def test_the_same_question_gets_the_same_coin_in_any_order_and_company():
    queries = [query("aa", "a", f"q{i}") for i in range(200)]
    oracle = BradleyTerry(scorer=Lengths())
    all_of_them = {answer.query_id: answer.p for answer in oracle.ask(queries)}
    backwards = {answer.query_id: answer.p for answer in oracle.ask(queries[::-1])}
    assert backwards == all_of_them
    for q in queries[:5]:
        assert next(oracle.ask([q])).p == all_of_them[q.id]


def test_another_seed_tosses_other_coins():
    queries = [query("aa", "a", f"q{i}") for i in range(200)]
    oracle = BradleyTerry(scorer=Lengths())
    first, second = (
        [answer.p for answer in o.ask(queries)] for o in (oracle, replace(oracle, seed=1))
    )
    assert first != second


def test_a_question_without_an_id_is_known_by_what_it_asks():
    oracle = BradleyTerry(scorer=Lengths())
    first, again, other = oracle.ask([query("aa", "a"), query("aa", "a"), query("aa", "b")])
    assert first == again
    assert first.query_id and first.query_id != other.query_id


def test_the_raw_answer_keeps_both_scores():
    (answer,) = BradleyTerry(scorer=Lengths(worth=0.5)).ask([query("aaa", "a")])
    assert json.loads(answer.raw) == [1.5, 0.5]


@pytest.mark.parametrize("bad", [Missing("too long"), math.nan, math.inf, None])
def test_a_pair_without_both_scores_has_no_label(bad):
    for scores in [(bad, 0.0), (0.0, bad)]:
        (answer,) = BradleyTerry(scorer=Gives(scores=scores)).ask([query("a", "b")])
        assert isinstance(answer.p, Missing)
        assert answer.p.reason in ("too long", f"expected a number, got {bad!r}")


def test_a_scorer_that_loses_count_is_an_error():
    oracle = BradleyTerry(scorer=Gives(scores=(1.0,)))
    with pytest.raises(OracleError, match=r"one score per response, got 1 for 2 from Gives"):
        list(oracle.ask([query("a", "b")]))


def test_answers_arrive_before_everything_is_scored():
    scored = []

    class Counts(Lengths):
        def score(self, responses):
            scored.extend(responses)
            return super().score(responses)

    queries = [query("a", "b", str(i)) for i in range(1000)]
    next(BradleyTerry(scorer=Counts()).ask(queries))
    assert 0 < len(scored) < 500


def test_whose_scores_it_turns_into_labels_must_be_said():
    with pytest.raises(TypeError, match="scorer"):
        BradleyTerry()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 0.0}, r"scale must be positive and finite, got 0.0"),
        ({"scale": math.inf}, r"scale must be positive and finite, got inf"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        BradleyTerry(scorer=Lengths(), **options)
