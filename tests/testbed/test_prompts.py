"""Prompts: enough of them, and the eval ones are unseen."""

import pytest

from prefloop.testbed import prompts

from .rows import review_sentences, rows


def start(text: str) -> str:
    return " ".join(text.split()[:4])


def test_prompts_are_distinct_four_word_starts_of_their_own_split():
    for split, source, size in (("train", "train", 6000), ("eval", "valid", 400)):
        found = prompts(split)
        assert len(found) == len(set(found)) == size
        assert set(found) <= {start(text) for text in review_sentences(source)}


def test_no_eval_prompt_starts_a_sentence_of_another_split():
    elsewhere = {start(row["text"]) for row in rows() if row["split"] != "valid"}
    assert not elsewhere & set(prompts("eval"))
    assert not set(prompts("train")) & set(prompts("eval"))


def test_an_unknown_split_is_refused_by_name():
    with pytest.raises(ValueError, match="must be 'train' or 'eval', got 'test'"):
        prompts("test")
