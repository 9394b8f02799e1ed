"""Every file in clusters/ against what a clusterer promises; the promises against wrong ones."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from oracle_promises import it_is_a_frozen_dataclass_of_keywords
from promises import exemptions, keep

import tiny
from prefloop import plugins
from prefloop.types import Clusterer
from worlds import response

KINDS = {name: plugins.find("clusters", name) for name in plugins.names("clusters")}
TEXTS = (" good film", " dreadful mess", " Good film", " good film", "", " dreadful mess", " b")
LABELS = {0: "contradiction", 1: "neutral", 2: "entailment"}
OPTIONS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "entailment": lambda tmp: {
        "model": tiny.reward_model(tmp, num_labels=3, id2label=LABELS),
        "device": "cpu",
    },
}


def numbers(part: Clusterer, texts: tuple[str, ...] = TEXTS, **fields: Any) -> tuple[int, ...]:
    return part.clusters([response(text, **fields) for text in texts])


def there_is_a_number_a_response_counted_from_0_by_first_appearance(part: Clusterer) -> None:
    for texts in (TEXTS, TEXTS[::-1], TEXTS[:1]):
        ids = numbers(part, texts)
        assert type(ids) is tuple and len(ids) == len(texts)
        assert all(type(i) is int for i in ids)
        assert list(dict.fromkeys(ids)) == list(range(len(set(ids))))


def the_same_text_is_always_in_the_same_cluster(part: Clusterer) -> None:
    ids = numbers(part)
    assert ids[0] == ids[3] and ids[1] == ids[5]
    assert set(numbers(part, (" again",) * 5)) == {0}


def a_repetition_changes_nothing_for_the_others(part: Clusterer) -> None:
    once = dict.fromkeys(TEXTS)
    for ids in (numbers(part), numbers(part, (*TEXTS, *TEXTS))):
        assert [ids[TEXTS.index(text)] for text in once] == list(numbers(part, tuple(once)))


def asking_again_gives_the_same(part: Clusterer) -> None:
    assert numbers(part) == numbers(part)


def only_texts_are_looked_at(part: Clusterer) -> None:
    asked = [
        replace(response(text, id=str(-i), source="dataset", logp=-3.0 * i), seed=str(i))
        for i, text in enumerate(TEXTS)
    ]
    assert part.clusters(asked) == numbers(part)


def no_responses_no_numbers(part: Clusterer) -> None:
    assert part.clusters([]) == ()


OF_EVERY_CLUSTERER = (
    there_is_a_number_a_response_counted_from_0_by_first_appearance,
    the_same_text_is_always_in_the_same_cluster,
    a_repetition_changes_nothing_for_the_others,
    asking_again_gives_the_same,
    only_texts_are_looked_at,
    no_responses_no_numbers,
)


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """One of each, made once."""
    return {
        name: kind(**OPTIONS.get(name, lambda _: {})(tmp_path_factory.mktemp(name)))
        for name, kind in KINDS.items()
    }


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("promise", OF_EVERY_CLUSTERER, ids=lambda f: f.__name__)
def test_every_clusterer_keeps(promise, name, example):
    keep(promise, KINDS[name], example[name])


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
class TestWhatAClustererIs:
    def test_it_is_a_dataclass_of_keywords(self, kind):
        it_is_a_frozen_dataclass_of_keywords(kind)

    def test_it_does_what_the_protocol_says(self, kind):
        assert issubclass(kind, Clusterer)

    def test_only_promises_that_exist_are_exempt(self, kind):
        assert set(exemptions(kind)) <= {promise.__name__ for promise in OF_EVERY_CLUSTERER}


class Wrong:
    def __init__(self, clusters):
        self.clusters = clusters


COUNTER = iter(range(10**6))


@pytest.mark.parametrize(
    ("promise", "clusters"),
    [
        (OF_EVERY_CLUSTERER[0], lambda rs: tuple(len(r.text) for r in rs)),
        (OF_EVERY_CLUSTERER[0], lambda rs: [0 for _ in rs]),
        (OF_EVERY_CLUSTERER[1], lambda rs: tuple(range(len(rs)))),
        (OF_EVERY_CLUSTERER[2], lambda rs: tuple(int(2 * i >= len(rs)) for i in range(len(rs)))),
        (OF_EVERY_CLUSTERER[3], lambda rs: (next(COUNTER),)),
        (OF_EVERY_CLUSTERER[4], lambda rs: tuple(len(r.id) for r in rs)),
        (OF_EVERY_CLUSTERER[5], lambda rs: (0,)),
    ],
    ids=lambda f: f.__name__,
)
def test_a_wrong_clusterer_breaks_its_promise(promise, clusters):
    with pytest.raises(AssertionError):
        promise(Wrong(clusters))
