"""Rows to trees, trees to micro-batches, and back to a loss's argument."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prefloop.batches import ListScores, PairLogps, PairScores, PointLogps, TokenLogps
from prefloop.learn.collate import Tree, micro_batches, trees
from prefloop.learn.credit import Advantages
from prefloop.learn.facts import Facts
from prefloop.learn.families import About, batch, family
from prefloop.learn.values import Logps, TokenValues
from prefloop.losses.dpo import dpo
from prefloop.losses.sft import sft
from prefloop.types import Preference, Prompt, Query, Ranking, Response, Source


def response(prompt: int, name: str, size: int = 2, **fields: object) -> Response:
    """A response of so many tokens to the prompt of that number."""
    asked = Prompt(text=f"prompt {prompt}", tokens=(prompt,) * 3)
    return Response(prompt=asked, text=name, id=name, tokens=(7,) * size, **fields)  # type: ignore[arg-type]


def pair(prompt: int, a: str, b: str, p: float = 1.0) -> Preference:
    """An answered query."""
    one, other = response(prompt, a, 2), response(prompt, b, 5)
    return Preference(query=Query(prompt=one.prompt, a=one, b=other), p=p)


def test_rows_that_share_a_prompt_share_a_tree_and_no_response_is_in_it_twice() -> None:
    rows = [pair(1, "a", "b"), pair(2, "c", "d"), pair(1, "a", "e")]
    one, two = trees(rows)
    assert [r.id for r in one.responses] == ["a", "b", "e"]
    assert [r.id for r in two.responses] == ["c", "d"]
    assert one.size == 3 + 2 + 5 + 5


@given(st.lists(st.integers(1, 60), min_size=1, max_size=30), st.integers(1, 100))
def test_micro_batches_hold_every_tree_once_and_keep_to_the_budget(
    sizes: list[int], budget: int
) -> None:
    forest = [Tree(rows=(response(i, f"r{i}", size),)) for i, size in enumerate(sizes)]
    plan = micro_batches(forest, budget)
    assert sorted(t.rows[0].id for group in plan for t in group) == sorted(
        t.rows[0].id for t in forest
    )
    assert all(len(group) == 1 or sum(t.size for t in group) <= budget for group in plan)


def test_a_pairs_columns_follow_the_rows_not_the_responses_order() -> None:
    rows = [pair(1, "c", "a", p=0.25), pair(1, "a", "b", p=0.75)]
    logps = Logps(values=torch.tensor([-1.0, -2.0, -3.0]), place={"a": 0, "b": 1, "c": 2})
    facts = Facts(ref={"a": -10.0, "b": -20.0, "c": -30.0})
    y = batch(PairLogps, rows, logps, facts, About.of(rows, PairLogps))
    assert isinstance(y, PairLogps)
    assert y.a.tolist() == [-3.0, -1.0] and y.b.tolist() == [-1.0, -2.0]
    assert y.ref_a.tolist() == [-30.0, -10.0] and y.ref_b.tolist() == [-10.0, -20.0]
    assert y.p.tolist() == [0.25, 0.75]
    assert y.len_a.tolist() == [2.0, 2.0] and y.len_b.tolist() == [5.0, 5.0]


def test_a_pair_is_on_policy_where_both_responses_are_the_policys() -> None:
    sources: list[tuple[Source, Source]] = [
        ("policy", "policy"),
        ("policy", "reference"),
        ("reference", "policy"),
        ("dataset", "dataset"),
    ]
    rows = []
    for i, (first, second) in enumerate(sources):
        a, b = response(i, f"a{i}", source=first), response(i, f"b{i}", source=second)
        rows.append(Preference(query=Query(prompt=a.prompt, a=a, b=b), p=1.0))
    names = [r.id for row in rows for r in (row.query.a, row.query.b)]
    logps = Logps(values=torch.zeros(8), place={name: i for i, name in enumerate(names)})
    facts = Facts(ref=dict.fromkeys(names, 0.0))
    y = batch(PairLogps, rows, logps, facts, About.of(rows, PairLogps))
    assert y.on_policy.tolist() == [True, False, False, False]


@pytest.mark.parametrize("last", [0.0, None])
def test_strengths_are_told_where_every_answer_has_one(last: float | None) -> None:
    """Of two heads, head after head. None of them is made up where one is missing."""
    rows = [replace(pair(1, "a", "b"), strength=3.0), replace(pair(2, "c", "d"), strength=last)]
    scores = Logps(values=torch.zeros(4, 2), place={name: i for i, name in enumerate("abcd")})
    found = batch(PairScores, rows, scores, Facts(ref={}), About.of(rows, PairScores, 2))
    told = None if found.strength is None else found.strength.tolist()
    assert told == (None if last is None else [3.0, 0.0, 3.0, 0.0])


def test_a_ranking_is_a_list_of_its_own_to_every_head() -> None:
    two, three = ([response(i, name) for name in names] for i, names in enumerate(("ab", "cde")))
    rows = [
        Ranking(responses=(*two,), ranks=(2.0, 1.0)),
        Ranking(responses=(*three,), ranks=(3.0, 1.0, 1.0)),
    ]
    values = torch.arange(10.0).view(5, 2)
    scores = Logps(values=values, place={name: i for i, name in enumerate("abcde")})
    found = batch(ListScores, rows, scores, Facts(ref={}), About.of(rows, ListScores, 2))
    assert found.list.tolist() == [0, 0, 1, 1, 1, 2, 2, 3, 3, 3]
    assert found.score.tolist() == [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]
    assert found.rank.tolist() == 2 * [2, 1, 3, 1, 1]


def test_columns_of_tokens_follow_the_rows_each_under_its_own_name() -> None:
    rows = [response(1, "b", 1), response(1, "a", 2)]
    said = TokenValues.beside(
        rows[::-1], torch.tensor([-1.0, -2, -3]), torch.tensor([10.0, 20, 30])
    )
    columns = lambda *at: {
        name: torch.tensor([start + 100.0 * place for place in at])
        for start, name in enumerate(("old", "advantage", "value", "returns"))
    }
    worth = {"a": Advantages(**columns(1, 2)), "b": Advantages(**columns(3))}
    facts = Facts(ref={}, credit=worth)
    y = batch(TokenLogps, rows, said, facts, About.of(rows, TokenLogps))
    assert y.y.tolist() == [-3, -1, -2]
    assert y.value.tolist() == [30, 10, 20]
    assert y.old.tolist() == [300, 100, 200]
    assert y.advantage.tolist() == [301, 101, 201]
    assert y.old_value.tolist() == [302, 102, 202]
    assert y.returns.tolist() == [303, 103, 203]
    assert y.response.tolist() == [0, 1, 1]
    assert y.mean_length.item() == 1.5


def test_points_of_a_pair_are_desirable_where_they_won_and_a_tie_has_two_winners() -> None:
    rows = [pair(1, "a", "b", 0.9), pair(2, "c", "d", 0.1), pair(3, "e", "f", 0.5)]
    names = "abcdef"
    logps = Logps(values=torch.zeros(6), place={name: i for i, name in enumerate(names)})
    facts = Facts(ref=dict.fromkeys(names, 0.0))
    y = batch(PointLogps, rows, logps, facts, About.of(rows, PointLogps))
    assert isinstance(y, PointLogps)
    assert y.desirable.tolist() == [True, False, False, True, True, True]
    assert y.mean_length.item() == 3.5, "responses of 2 and of 5 tokens"


def test_a_single_response_is_desirable_unless_its_label_says_otherwise() -> None:
    rows = [response(1, "a"), response(1, "b", desirable=False), response(1, "c", desirable=True)]
    logps = Logps(values=torch.zeros(3), place={"a": 0, "b": 1, "c": 2})
    facts = Facts(ref=dict.fromkeys("abc", 0.0))
    y = batch(PointLogps, rows, logps, facts, About.of(rows, PointLogps))
    assert isinstance(y, PointLogps)
    assert y.desirable.tolist() == [True, False, True]


def test_a_loss_tells_its_family_by_its_first_argument() -> None:
    assert (family(dpo), family(sft)) == (PairLogps, PointLogps)

    def odd(y: str) -> str:
        return y

    with pytest.raises(TypeError, match=r"takes .*str.*one of PairLogps, PointLogps"):
        family(odd)
