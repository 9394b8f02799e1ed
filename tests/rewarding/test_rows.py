"""From labels of any kind to rows: who is better in them, and who is held out."""

from math import nan
from pathlib import Path

import pytest

import small
from prefloop.rewarding.rows import answered, comparisons, response_id, responses_of
from prefloop.rewarding.train import split
from prefloop.types import Preference, Prompt, Query, Ranking, Rating, Response


def response(prompt: str, text: str) -> Response:
    return Response(prompt=Prompt(text=prompt), text=text, id=f"{prompt}/{text}")


def test_a_ranking_is_all_its_pairs_and_a_better_rank_is_a_lower_one() -> None:
    row = Ranking(responses=tuple(response("q", t) for t in "abc"), ranks=(2.0, 1.0, 2.0))
    found = {(p.query.a.text, p.query.b.text): p.p for p in comparisons([row])}
    assert found == {("a", "b"): 0.0, ("a", "c"): 0.5, ("b", "c"): 1.0}


def test_ratings_are_pairs_of_their_prompt_by_the_mean_of_what_was_rated() -> None:
    """b's one rating is above a's mean; d says nothing, and e is of another prompt."""
    values = {"a": (1.0, 4.0), "b": (nan, 3.0), "c": (2.5, 2.5), "d": (nan, nan)}
    rows = [Rating(response=response("q", t), values=v) for t, v in values.items()]
    found = comparisons([*rows, Rating(response=response("other", "e"), values=(9.0,))])
    assert {(p.query.a.text, p.query.b.text): p.p for p in found} == {
        ("a", "b"): 0.0,
        ("a", "c"): 0.5,
        ("b", "c"): 1.0,
    }


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_a_prompt_is_learned_from_or_measured_by_never_both(share: float) -> None:
    rows = []
    for i in range(300):
        a, b = (response(f"q{i % 100}", f"{side}{i}") for side in "ab")
        rows.append(Preference(query=Query(prompt=a.prompt, a=a, b=b, id=str(i)), p=1.0))
    fitted, held = split(rows, share, seed=3)
    sides = [{responses_of(row)[0].prompt.text for row in side} for side in (fitted, held)]
    assert not sides[0] & sides[1]
    assert sorted([*fitted, *held], key=lambda row: int(row.query.id)) == rows  # type: ignore[union-attr]
    assert len(sides[1]) == pytest.approx(100 * share, abs=12)
    assert split(rows, share, seed=4)[1] != held


def test_a_response_has_the_same_name_for_the_same_text_to_the_same_prompt() -> None:
    names = [
        response_id(response(*one)) for one in (("q", "x"), ("q", "x"), ("q", "y"), ("r", "x"))
    ]
    assert names[0] == names[1] and len(set(names)) == 3


def test_answers_of_a_round_that_is_under_way_are_there_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small.llama(tmp_path / "model")
    monkeypatch.setattr("prefloop.learn.step.Stepper.step", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        small.small_run(model, tmp_path / "run")
    assert [round for round, _ in answered(tmp_path / "run")] == 8 * [1]
