"""A source's repeats of itself are one candidate."""

from collections.abc import Sequence

import numpy as np

from prefloop.explore._distinct import distinct
from prefloop.types import Candidates, Prompt, Response, Source

PROMPT = Prompt(text="p")


def options(*said: tuple[str, Source], **columns: object) -> Candidates:
    """Candidates of these texts, each named by its place."""
    made = [
        Response(prompt=PROMPT, text=text, source=source, id=str(i))
        for i, (text, source) in enumerate(said)
    ]
    return Candidates(prompt=PROMPT, responses=tuple(made), **columns)  # type: ignore[arg-type]


def places(found: Candidates | None) -> Sequence[int]:
    """Where those that are left were; none where there is no question."""
    return [int(r.id) for r in found.responses] if found else []


def test_the_first_of_each_text_stays_with_its_columns() -> None:
    said: list[tuple[str, Source]] = [(text, "policy") for text in "yxyzx"]
    scores, features = np.arange(10.0).reshape(2, 5), np.arange(15.0).reshape(5, 3)
    found = distinct(options(*said, scores=scores, features=features, clusters=(4, 3, 4, 3, 3)))
    assert found is not None and places(found) == [0, 1, 3]
    assert found.scores is not None and found.features is not None
    np.testing.assert_array_equal(found.scores, [[0, 1, 3], [5, 6, 8]])
    np.testing.assert_array_equal(found.features, features[[0, 1, 3]])
    assert found.clusters == (4, 3, 3)


def test_what_two_sources_say_stays_with_both() -> None:
    said: list[tuple[str, Source]] = [("x", "policy"), ("x", "policy"), ("x", "reference")]
    assert places(distinct(options(*said, ("y", "reference")))) == [0, 2, 3]


def test_one_text_is_no_question_whoever_says_it() -> None:
    assert distinct(options(("x", "policy"), ("x", "reference"))) is None


def test_columns_that_are_not_there_stay_away() -> None:
    found = distinct(options(("x", "policy"), ("y", "policy")))
    assert found is not None
    assert (found.scores, found.features, found.clusters) == (None, None, None)
