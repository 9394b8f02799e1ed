"""Like direction, like meaning: thresholds, order, and texts without direction."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pytest

from prefloop import plugins
from prefloop.clusters.cosine import Cosine
from prefloop.features.lsa import Lsa
from worlds import response

PLACES = {
    "east": (1.0, 0.0),
    "far east": (9.0, 0.0),
    "north east": (1.0, 1.0),
    "bend": (3.0, 7.0),
    "far bend": (9.0, 21.0),
    "north": (0.0, 2.0),
    "west": (-1.0, 0.0),
    "here": (0.0, 0.0),
    "there": (0.0, 0.0),
}


@dataclass(frozen=True, kw_only=True)
class Map:
    """Where the text is, if it is asked about without a prompt."""

    def features(self, responses: Sequence[object]) -> np.ndarray:
        return np.array([PLACES[r.full_text] for r in responses], dtype=np.float32)


def clusters(*texts, threshold=0.7):
    part = Cosine(features=Map(), threshold=threshold)
    return part.clusters([response(text) for text in texts])


def test_direction_counts_and_length_does_not():
    assert clusters("east", "north", "far east", "west") == (0, 1, 0, 2)


def test_the_threshold_is_the_least_cosine_that_is_enough():
    """cos 45° = 0.7071."""
    assert clusters("east", "north east", threshold=0.707) == (0, 0)
    assert clusters("east", "north east", threshold=0.708) == (0, 1)


def test_rounding_does_not_part_what_is_parallel():
    """cos 0° of these two comes out as 0.9999999999999998."""
    assert clusters("bend", "far bend", threshold=1.0) == (0, 0)


def test_likeness_is_to_the_first_member_so_that_there_are_no_chains():
    assert clusters("east", "north east", "north") == (0, 0, 1)
    assert clusters("north east", "east", "north") == (0, 0, 0)


def test_where_likeness_is_an_equivalence_order_is_nothing():
    for order in permutations(("east", "far east", "north", "west")):
        ids = dict(zip(order, clusters(*order), strict=True))
        assert ids["east"] == ids["far east"] and len(set(ids.values())) == 3


def test_a_text_without_direction_is_like_itself_alone():
    assert clusters("here", "east", "there", "here") == (0, 1, 2, 0)


def test_the_testbeds_features_tell_what_a_review_is_about():
    texts = (
        " a wonderful performance by the lead actors",
        " the actors give a great performance",
        " battery died after a week",
    )
    assert Cosine().clusters([response(text) for text in texts]) == (0, 0, 1)
    assert Cosine() == Cosine(features=Lsa())


def test_its_features_are_named_like_any_part():
    made = plugins.build("clusters", "cosine", {"features": "lsa", "threshold": 1})
    assert made == Cosine(features=Lsa(), threshold=1.0)


@pytest.mark.parametrize("wrong", [0.0, -0.5, 1.5])
def test_a_threshold_is_a_cosine(wrong):
    with pytest.raises(ValueError, match=rf"must lie in \(0, 1\], got {wrong}"):
        Cosine(threshold=wrong)
