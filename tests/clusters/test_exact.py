"""The same words, whatever they are dressed in."""

import pytest

from prefloop.clusters.exact import Exact
from worlds import response


def same(*texts):
    return set(Exact().clusters([response(text) for text in texts])) == {0}


@pytest.mark.parametrize(
    "texts",
    [
        ("Paris", " paris.", "“PARIS!”", "(Paris)"),
        ("the straße", "The STRASSE"),
        ("ﬁlm", "film"),
        ("two  words", "two\nwords", "two, words"),
        ("-3", "−3", " -3."),
        ("a well-known fact", "a well known fact"),
    ],
)
def test_case_spaces_and_punctuation_are_nothing(texts):
    assert same(*texts)


@pytest.mark.parametrize(
    "texts", [("3", "-3"), ("3.5", "35"), ("1,5", "15"), ("C", "C++"), ("C", "C#"), ("50", "50%")]
)
def test_what_changes_the_meaning_is_kept(texts):
    assert not same(*texts)


def test_words_of_stops_alone_are_what_they_are():
    assert Exact().clusters([response(t) for t in ("?!", "...", " ?!", "")]) == (0, 1, 0, 2)
