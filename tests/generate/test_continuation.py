"""Prompt text + response text reads as the whole does."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import tiny
from prefloop.generate.text import continuation


def metaspace():
    """A tokenizer that, like Llama 2's, drops the leading space of what it decodes."""
    words = ["<unk>", "</s>", "▁a", "▁fine", "▁film", "s"]
    inner = Tokenizer(models.BPE({w: i for i, w in enumerate(words)}, [], unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>")


@pytest.mark.parametrize(
    ("response", "text"), [((3, 4, 1), " fine film"), ((5, 1), "s"), ((1,), ""), ((4,), " film")]
)
def test_the_leading_space_stays(response, text):
    made = metaspace()
    assert made.decode([3, 4]) == "fine film"
    assert continuation(made, (2,), response) == text
    assert continuation(made, (2,) * 20, response) == text


def test_special_tokens_are_left_out_between_prompt_and_response():
    made = tiny.tokenizer()
    prompt = made("hi<assistant>").input_ids
    response = [*made("you", add_special_tokens=False).input_ids, made.eos_token_id]
    assert continuation(made, prompt, response).replace(" ", "") == "you"


def test_half_a_character_in_the_prompt_does_not_lose_the_response():
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE({c: i for i, c in enumerate(letters)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=inner)
    tokens = made("é ok").input_ids
    assert continuation(made, tokens[:1], tokens[1:]).endswith(" ok")
