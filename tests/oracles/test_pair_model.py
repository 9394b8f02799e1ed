"""A pair model reads both responses, in both orders, and answers with one of two tokens."""

from json import loads

import pytest
import torch
from transformers import AutoModelForCausalLM

import tiny
from prefloop.measure.judging import averaged, position_bias
from prefloop.oracles._errors import OracleError
from prefloop.oracles.pair_model import PairModel
from prefloop.types import Missing
from worlds import PROMPT, query

LONG = {"max_position_embeddings": 256}
QUERIES = [query(" good", " a longer and duller one", "0"), query(" x", " y", "1")]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tiny.language_model(tmp_path_factory.mktemp("pair"), **LONG)


def model(path: str, **options):
    return PairModel(path=path, **{"max_tokens": 256, "device": "cpu", **options})


def by_hand(path: str, a: str, b: str) -> float:
    """softmax(z_A, z_B)_A of one text alone, read with transformers."""
    text = f"[CONTEXT] {PROMPT.text} [RESPONSE A] {a} [RESPONSE B] {b} \n"
    tokenizer = tiny.tokenizer()
    lm = AutoModelForCausalLM.from_pretrained(path).eval()
    with torch.no_grad():
        logits = lm(torch.tensor([tokenizer(text)["input_ids"]])).logits[0, -1]
    first, second = (tokenizer(name)["input_ids"][0] for name in "AB")
    return float(torch.sigmoid(logits[first] - logits[second]))


@pytest.mark.parametrize("tokens", [1, 8192])
def test_it_is_the_mean_of_both_orders_whatever_else_is_in_the_batch(path, tokens):
    for found, q in zip(model(path, tokens=tokens).ask(QUERIES), QUERIES, strict=True):
        there, back = by_hand(path, q.a.text, q.b.text), by_hand(path, q.b.text, q.a.text)
        assert found.p == pytest.approx(averaged(there, back), abs=1e-6)
        assert loads(found.raw) == pytest.approx([there, back], abs=1e-6)
        assert position_bias([there], [back]) > 1e-3


def test_both_ways_round_add_up_to_one_exactly(path):
    part = model(path)
    swapped = part.ask([q.swap() for q in QUERIES])
    for one, other in zip(part.ask(QUERIES), swapped, strict=True):
        assert one.p + other.p == 1.0


def test_who_always_says_the_first_answers_nothing_but_ties(path, tmp_path):
    """A bias that knows nothing of the responses cancels."""
    lm = AutoModelForCausalLM.from_pretrained(path)
    with torch.no_grad():
        lm.model.norm.weight.zero_()
    lm.save_pretrained(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    assert [answer.p for answer in model(str(tmp_path)).ask(QUERIES)] == [0.5, 0.5]


def test_what_does_not_fit_has_no_answer(path):
    found = list(model(path, max_tokens=70).ask(QUERIES))
    assert isinstance(found[0].p, Missing) and "tokens do not fit 70" in found[0].p.reason
    assert not isinstance(found[1].p, Missing)
    assert PairModel(path=path, device="cpu").max_tokens is None  # the tokenizer's 64 then


def test_a_chat_model_is_asked_in_a_users_message(path, tmp_path):
    AutoModelForCausalLM.from_pretrained(path).save_pretrained(tmp_path)
    tiny.tokenizer(tiny.CHAT).save_pretrained(tmp_path)
    chat, plain = model(str(tmp_path)), model(str(tmp_path), wrap="plain")
    shown = chat._text.tokenizer.decode(chat._text.encode("c", "a", "b"))
    assert shown.replace(" ", "").startswith("<user>[CONTEXT]c")
    assert chat._text.encode("c", "a", "b") != plain._text.encode("c", "a", "b")
    with pytest.raises(ValueError, match="no chat template to wrap in"):
        model(path, wrap="chat")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"names": ("first", "B")}, r"'first' must be one token .*, got \[.*\]; set names"),
        ({"names": ("A", "A")}, "two different tokens"),
        ({"template": "{a} or {b}"}, "template must have {context} in it"),
    ],
)
def test_answers_and_templates_that_cannot_be_are_refused(path, options, said):
    with pytest.raises(ValueError, match=said):
        model(path, **options)


def test_a_folder_without_a_language_model_is_refused(tmp_path):
    with pytest.raises(OracleError, match="cannot load a pair model"):
        model(str(tmp_path / "nowhere"))
    path = tiny.reward_model(tmp_path / "rm", num_labels=2)
    with pytest.raises(OracleError, match=r"lacks lm_head\.weight"):
        model(path)
