"""The records and the random streams."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefloop import rng
from prefloop.batches import PairLogps
from prefloop.types import Oracle, Policy, Prompt, SamplingSettings, Scorer, content_hash
from worlds import PROMPT, query, response


def test_a_prompts_id_is_what_was_asked_and_nothing_else():
    same = Prompt(text=PROMPT.text, tokens=(1, 2), meta={"row": 7})
    assert same.id == PROMPT.id
    assert Prompt(text="another film is a").id != PROMPT.id


def test_a_chat_is_known_by_its_messages():
    hello = ({"role": "user", "content": "hello"},)
    assert Prompt(text="hello", messages=hello).id == Prompt(text="USER: hello", messages=hello).id
    assert Prompt(text="hello", messages=hello).id != Prompt(text="hello").id


def test_the_hash_knows_where_one_part_ends():
    assert content_hash("ab", "c") != content_hash("a", "bc")
    assert content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})
    assert len(content_hash("é")) == 16


def test_swapping_a_query_swaps_the_candidates_and_marks_its_id():
    swapped = query("a", "b", "7").swap()
    assert (swapped.a.text, swapped.b.text, swapped.id) == ("b", "a", "7~swapped")
    assert query("a", "b").swap().id == ""


def test_records_are_frozen():
    with pytest.raises(AttributeError):
        response("x").text = "y"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, r"temperature must be positive, got 0.0"),
        ({"top_p": 0.0}, r"top_p must lie in \(0, 1\], got 0.0"),
        ({"top_p": 1.1}, r"top_p must lie in \(0, 1\], got 1.1"),
        ({"max_new_tokens": 0}, r"max_new_tokens must be at least 1, got 0"),
    ],
)
def test_a_law_that_cannot_be_drawn_from_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SamplingSettings(**options)


def test_a_part_is_what_it_can_do():
    class Both:
        def ask(self, queries): ...
        def score(self, responses): ...

    assert isinstance(Both(), Oracle) and isinstance(Both(), Scorer)
    assert not isinstance(Both(), Policy)


def test_swapping_a_batch_twice_gives_it_back():
    import torch

    from worlds import pairs

    y = pairs(5)
    torch.testing.assert_close(y.swap().margin, -y.margin)
    twice = y.swap().swap()
    for one, other in ((y, twice), (y.whole, twice.whole)):
        for name in {*PairLogps.__dataclass_fields__} - {"whole"}:
            torch.testing.assert_close(getattr(one, name), getattr(other, name))
    assert torch.equal(y.swap().win_a, y.win_b) and torch.equal(y.swap().whole.a, y.whole.b)


def test_a_stream_depends_on_its_name_alone():
    first = rng.stream(0, "sample", 3, 1).random(4)
    rng.stream(0, "label", "q").random(100)
    assert (rng.stream(0, "sample", 3, 1).random(4) == first).all()


@given(st.integers(-5, 5), st.lists(st.text(alphabet="ab/1", max_size=3), max_size=3))
def test_different_names_are_different_streams(seed, names):
    assert rng.key(seed, *names) == rng.key(seed, *names)
    assert rng.key(seed, *names) != rng.key(seed + 1, *names)
    assert rng.key(seed, *names) != rng.key(seed, *names, "")
    assert 0 <= rng.key(seed, *names) < 2**63


def test_streams_look_independent():
    draws = [rng.stream(0, "label", f"q{i}").random() for i in range(2000)]
    assert sum(draws) / 2000 == pytest.approx(0.5, abs=4 / (12 * 2000) ** 0.5)
