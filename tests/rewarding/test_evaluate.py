"""What is measured of a scorer or a judge, on pairs few enough to count."""

import json
from collections.abc import Iterator, Mapping, Sequence
from math import log

import numpy as np
import pytest

from prefloop.rewarding.evaluate import Judged, judge, measured, sections
from prefloop.types import Answer, Missing, Preference, Prompt, Query, Response


def pair(number: int, a: str, b: str, p: float, subset: str = "") -> Preference:
    """A labelled pair of a prompt of its own."""
    prompt = Prompt(text=f"q{number}", meta={"subset": subset})
    one, other = (Response(prompt=prompt, text=text, id=f"{number}{text}") for text in (a, b))
    return Preference(query=Query(prompt=prompt, a=one, b=other, id=f"q{number}"), p=p)


def judged(pairs: Sequence[Preference], margin: Sequence[float]) -> Judged:
    return Judged(pairs=tuple(pairs), margin=np.array(margin), scores={}, missing=0)


class Judge:
    """Says what it is told to, by query."""

    def __init__(self, said: Mapping[str, float | Missing]) -> None:
        self.said = said

    def ask(self, queries: Sequence[Query]) -> Iterator[Answer]:
        for query in queries:
            yield Answer(query_id=query.id, p=self.said[query.id], oracle="judge")


PAIRS = [pair(0, "xx", "x", 1.0), pair(1, "x", "xxx", 1.0), pair(2, "xx", "x", 0.5)]


def test_a_judges_margin_is_its_log_odds_of_the_first_and_what_it_left_out_is_missing() -> None:
    found = judge(Judge({"q0": 0.9, "q1": Missing("?"), "q2": 0.25}), PAIRS)
    np.testing.assert_allclose(found.margin, [log(9), -log(3)])
    assert [p.query.id for p in found.pairs] == ["q0", "q2"]
    assert found.missing == 1


def test_a_sure_judge_has_a_finite_margin() -> None:
    found = judge(Judge({"q0": 1.0, "q1": 0.0, "q2": 0.5}), PAIRS)
    assert found.margin[0] == pytest.approx(-found.margin[1]) and 10 < found.margin[0] < 20


def test_a_margin_of_zero_is_half_right_and_strictly_wrong() -> None:
    found = measured(judged(PAIRS, [1.0, 0.0, 5.0]))
    assert (found.accuracy.value, found.accuracy_strict.value) == (0.75, 0.5)


def test_the_longer_response_is_right_where_a_is_the_longer_and_the_better() -> None:
    assert judged(PAIRS, [0.0] * 3).longer.tolist() == [1, -2, 1]
    assert measured(judged(PAIRS, [0.0] * 3)).longer.value == 0.5


def test_which_of_two_is_named_first_changes_nothing() -> None:
    """Of everything that is written down."""
    draw = np.random.default_rng(0)
    labels, margin = draw.choice([0.1, 0.5, 0.8], 40), draw.normal(size=40)
    pairs = [pair(i, "x" * int(draw.integers(1, 9)), "y" * 4, p) for i, p in enumerate(labels)]
    turned = [
        Preference(query=Query(prompt=x.query.prompt, a=x.query.b, b=x.query.a, id="t"), p=1 - x.p)
        if i % 3
        else x
        for i, x in enumerate(pairs)
    ]
    sign = np.where(np.arange(40) % 3, -1.0, 1.0)
    one, other = (measured(judged(*x)).json for x in ((pairs, margin), (turned, margin * sign)))
    assert one.keys() == other.keys()
    for name in ("accuracy", "accuracy_strict", "accuracy_of_the_longer", "bayes_limit"):
        assert one[name] == pytest.approx(other[name]), name
    name = "length_margin_given_label"
    assert one[name] == pytest.approx(other[name]) and abs(one[name]) > 1e-3
    assert json.loads(json.dumps(one))


def test_a_section_of_ties_alone_has_no_accuracy_and_a_path_counts_in_each_of_its_parts() -> None:
    pairs = [
        pair(0, "x", "y", 1.0, "a/b"),
        pair(1, "x", "y", 1.0, "a/c"),
        pair(2, "x", "y", 0.5, "d"),
    ]
    found = sections(judged(pairs, [1.0, -1.0, 1.0]))
    assert {name: (n, share.value) for name, (n, share) in found.items()} == {
        "a": (2, 0.5),
        "a/b": (1, 1.0),
        "a/c": (1, 0.0),
    }
