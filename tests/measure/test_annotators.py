"""Several labels a prompt: ties, circles, and whether the favourite is one that nobody beats."""

import pytest

from prefloop.measure.annotators import agreement

FOUR = [("w", "x", 1.0), ("w", "y", 1.0), ("x", "y", 0.5), ("z", "x", 0.0), ("z", "y", 1.0)]
"""w loses to none; x, y and z do, y and x being tied"""


def test_ties_and_circles_of_the_labels_are_counted():
    circle = [("x", "y", 1.0), ("y", "z", 1.0), ("z", "x", 1.0)]
    found = agreement([FOUR, circle], [[1.0] * 5, [1.0] * 3])
    assert (found.labels, found.ties) == (8, 1)
    assert found.circles == (1, 1)  # of FOUR every triple has a tie or an unknown pair in it


@pytest.mark.parametrize(("worth", "hit"), [(3.0, 1.0), (0.0, 0.0)])
def test_the_favourite_is_unbeaten_or_not(worth, hit):
    scores = {"w": worth, "x": 1.0, "y": 2.0, "z": 0.5}
    found = agreement([FOUR], [[scores[a] - scores[b] for a, b, _ in FOUR]])
    assert (found.best, found.best_by_chance, found.prompts) == (hit, 0.25, 1)


def test_a_prompt_where_all_or_none_are_unbeaten_has_no_favourite_to_find():
    found = agreement([[("x", "y", 0.5)]], [[0.3]])
    assert (found.best, found.prompts, found.ties_are_closer) == (None, 0, None)


def test_margins_that_know_ties_are_smaller_on_them():
    labels = [("x", "y", 0.5), ("x", "z", 1.0), ("y", "z", 0.0)]
    assert agreement([labels], [[0.1, 2.0, -3.0]]).ties_are_closer == 1
    assert agreement([labels], [[-2.5, 2.0, -3.0]]).ties_are_closer == 0.5
    assert agreement([labels], [[1.0, 1.0, 1.0]]).ties_are_closer == 0.5
