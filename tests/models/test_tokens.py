"""A reward model whose tokenizer is another than the policy's."""

from dataclasses import replace

import pytest
import torch

import tiny
from models.families import build
from prefloop.config import Model
from prefloop.models import tokens
from prefloop.models.load import Loaded
from prefloop.models.reward import RewardModel
from prefloop.models.tokens import Reader, reader, same_tokenizer
from prefloop.store.text import Encoder
from prefloop.types import Missing, Prompt, Response

TEXTS = (" good", " a longer answer", " x")


def said(text, encoder=None, **changes):
    """A response as the policy's own tokenizer writes it, or another."""
    found = (encoder or Encoder(tiny.tokenizer(), context=64)).encode(Prompt(text="it is"), text)
    prompt, (ids,) = found
    return Response(prompt=prompt, text=text, tokens=ids, **changes)


def foreign(text, **changes):
    """The same text in another tokenizer's tokens: one number more each."""
    one = said(text, **changes)
    moved = tuple(token + 1 for token in one.tokens)
    prompt = replace(one.prompt, tokens=tuple(token + 1 for token in one.prompt.tokens))
    return replace(one, prompt=prompt, tokens=moved)


@pytest.fixture
def path(tmp_path):
    return tiny.reward_model(tmp_path)


def load(path, **options):
    return RewardModel.load(path, settings=Model(path="x", device="cpu"), **options)


class TestSameTokenizer:
    def test_a_copy_is_the_same(self, tmp_path):
        tiny.tokenizer().save_pretrained(tmp_path)
        assert same_tokenizer(tiny.tokenizer(), tiny.tokenizer())
        assert same_tokenizer(tiny.tokenizer(tiny.CHAT), tiny.tokenizer(tiny.CHAT))

    def test_another_template_special_token_or_word_is_not(self):
        more = tiny.tokenizer()
        more.add_tokens(["film"])
        for other in (tiny.tokenizer(tiny.CHAT), tiny.tokenizer(pad_token="</s>"), more):
            assert not same_tokenizer(tiny.tokenizer(), other)


def test_with_the_same_tokenizer_the_tokens_are_read_untouched(path):
    reward = load(path, reads=tiny.tokenizer())
    assert reward.reader is None
    one = said(" good")
    assert reward.score([one]) != reward.score([replace(one, tokens=one.tokens[:-1])])
    assert reward.score([one]) == reward.score([replace(one, text="whatever")])


def test_with_another_one_prompt_and_text_are_encoded_anew(path):
    """Scores are those of the same texts in the reward model's own tokens, EOS included."""
    own, other = load(path), load(path, reads=tiny.tokenizer(tiny.CHAT))
    expected = own.scores([said(text) for text in TEXTS])
    found = other.scores([foreign(text) for text in TEXTS])
    torch.testing.assert_close(found, expected)
    assert (own.scores([foreign(text) for text in TEXTS]) - expected).abs().max() > 0.01


def test_a_response_that_was_cut_off_gets_no_end(path):
    other = load(path, reads=tiny.tokenizer(tiny.CHAT))
    cut = said(" good", finished=False)
    expected = load(path).score([replace(cut, tokens=cut.tokens[:-1])])
    assert other.score([foreign(" good", finished=False)]) == pytest.approx(expected, abs=1e-6)
    assert other.score([foreign(" good")]) == pytest.approx(
        load(path).score([said(" good")]), abs=1e-6
    )


def test_an_empty_text_is_nothing_but_its_end():
    read = Reader(Encoder(tiny.tokenizer(), context=64))
    empty = Response(prompt=Prompt(text="it is"), text="", tokens=(7,))
    assert read(empty).tokens == (tiny.tokenizer().eos_token_id,)
    assert read(empty).prompt.tokens == read(foreign(" good")).prompt.tokens


def test_a_text_that_does_not_fit_has_no_score(path):
    reward = load(path, reads=tiny.tokenizer(tiny.CHAT))
    long = foreign(" good")
    long = replace(long, text=" word" * 20)
    assert reward.score([long, foreign(" good")])[0] == Missing("it does not fit 64 tokens")
    with pytest.raises(ValueError, match="does not fit the reward model's context of 64 tokens"):
        reward.scores([long])


def test_a_critic_needs_the_policys_tokens(path):
    with pytest.raises(ValueError, match=r"has another tokenizer; set credit\.critic=zero"):
        load(path, reads=tiny.tokenizer(tiny.CHAT)).values([foreign(" good")])


def test_the_chat_template_is_the_reward_models(tmp_path):
    path = tiny.reward_model(tmp_path, template=tiny.CHAT)
    reward = load(path, reads=tiny.tokenizer())
    chat = Encoder(tiny.tokenizer(tiny.CHAT), context=64)
    expected = load(path).scores([said(text, chat) for text in TEXTS])
    torch.testing.assert_close(reward.scores([said(text) for text in TEXTS]), expected)


def test_what_was_encoded_is_remembered_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(tokens, "REMEMBERED", 2)
    asked, encoder = [], Encoder(tiny.tokenizer(), context=64)
    encode = encoder.encode
    monkeypatch.setattr(encoder, "encode", lambda *args: asked.append(args) or encode(*args))
    read = Reader(encoder)
    for text in (" a", " b", " a", " b"):
        assert read(foreign(text)).tokens == said(text).tokens
    assert len(asked) == 2
    read(foreign(" c"))
    assert len(read.known) == 1


def test_a_model_of_the_policys_own_needs_no_reader():
    from prefloop.models.transformer import TransformerPolicy

    loaded = Loaded(build("llama"), tiny.tokenizer(), torch.device("cpu"), 64)
    assert RewardModel.of(TransformerPolicy(loaded)).reader is None
    assert reader(tiny.tokenizer(), None, 64, "auto") is None


def test_a_response_of_no_text_leaves_room_for_its_end():
    """A prompt as long as the context loses its first token, or does not fit."""
    empty = Response(prompt=Prompt(text="x" * 64), text="")
    cut = Reader(Encoder(tiny.tokenizer(), context=64, overflow="keep_end"))(empty)
    assert len(cut.prompt.tokens) == 63 and cut.tokens == (tiny.tokenizer().eos_token_id,)
    assert Reader(Encoder(tiny.tokenizer(), context=64, overflow="drop"))(empty) is None
