"""The text→token border, under the kinds of tokenizer that real models bring."""

import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from prefloop.store.text import BOUNDARY, Counts, Encoder, TemplateError, plain_text
from prefloop.types import Prompt

CORPUS = [
    "To be honest, the turkey became the official food.",
    "Human: Do you know why? Assistant: the film is a mess of half-digested ideas.",
    "user assistant system\n\nabcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ .:?!'\n",
]
SPECIAL = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
FORGETS_THINKING = CHATML.replace("assistant\n{% endif", "assistant\n<think>\n{% endif")
LAST_TURN_FIRST = CHATML.replace("in messages", "in messages[::-1]")
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    + CHATML
)
QUESTION = Prompt(text="", messages=({"role": "user", "content": "Do you know why?"},))


def byte_level(*, add_prefix_space=False):
    """As GPT-2 or Llama 3."""
    core = Tokenizer(models.BPE(unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=SPECIAL,
            initial_alphabet=sorted(alphabet),
            show_progress=False,
        ),
    )
    return core


def metaspace():
    """As T5 or XGLM: words start with ▁, and so does whatever comes first."""
    core = Tokenizer(models.Unigram())
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    core.decoder = decoders.Metaspace(prepend_scheme="always")
    core.train_from_iterator(
        CORPUS,
        trainers.UnigramTrainer(
            vocab_size=120, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
        ),
    )
    return core


def sentencepiece_bpe():
    """As Llama 2: a normaliser puts ▁ before every text; unknown characters fall back to bytes."""
    pieces = [
        *SPECIAL,
        *(f"<0x{byte:02X}>" for byte in range(256)),
        "▁",
        *"abdehlnorstuyTI.,:",
        "▁t",
    ]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    core = Tokenizer(models.BPE(vocab, [("▁", "t")], byte_fallback=True, unk_token="<unk>"))
    core.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    core.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return core


def wrap(core, *, bos=True, eos="</s>", around="<s> $A", template=None):
    named = [(token, core.token_to_id(token)) for token in ("<s>", "</s>")]
    if bos:
        core.post_processor = processors.TemplateProcessing(single=around, special_tokens=named)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>" if bos else None,
        eos_token=eos,
        unk_token="<unk>",
        extra_special_tokens=["<|im_start|>", "<|im_end|>"],
    )
    wrapped.chat_template = template
    return wrapped


TOKENIZERS = {
    "byte-level": wrap(byte_level()),
    "byte-level with a prefix space": wrap(byte_level(add_prefix_space=True)),
    "unigram with metaspace": wrap(metaspace()),
    "sentencepiece BPE": wrap(sentencepiece_bpe()),
    "no BOS": wrap(byte_level(), bos=False),
    "EOS after every text": wrap(byte_level(), around="<s> $A </s>"),
}
PLAIN = TOKENIZERS["byte-level"]
CHAT = wrap(byte_level(), template=CHATML)
BOS, EOS, END = (PLAIN.convert_tokens_to_ids(token) for token in ("<s>", "</s>", "<|im_end|>"))
every_tokenizer = pytest.mark.parametrize("name", TOKENIZERS)


def encoder(tokenizer=PLAIN, *, context=10_000, **settings):
    return Encoder(tokenizer, context=context, **settings)


def refusing(template):
    return encoder(wrap(byte_level(), template=template))


@every_tokenizer
@pytest.mark.parametrize(
    "text", ["To be honest", " To be honest", "\n\nTo be", ". . .", "  the  end"]
)
def test_a_response_decodes_to_itself_behind_its_prompt(name, text):
    tokenizer = TOKENIZERS[name]
    prompt, (response,) = encoder(tokenizer).encode(Prompt(text="Human: why? Assistant:"), text)
    whole = tokenizer.decode([*prompt.tokens, *response], skip_special_tokens=True)
    assert whole == tokenizer.decode(prompt.tokens, skip_special_tokens=True) + text
    assert whole.strip() == ("Human: why? Assistant:" + text).strip()


@every_tokenizer
def test_a_plain_example_has_one_bos_and_one_eos(name):
    tokenizer = TOKENIZERS[name]
    prompt, (response,) = encoder(tokenizer).encode(Prompt(text="the film"), " is a mess")
    assert [*prompt.tokens, *response].count(EOS) == 1
    assert response[-1] == EOS
    wanted = [] if name == "no BOS" else [BOS]
    assert [token for token in (*prompt.tokens, *response) if token == BOS] == wanted
    assert list(prompt.tokens[: len(wanted)]) == wanted


@every_tokenizer
def test_a_plain_prompt_is_what_the_tokenizer_makes_of_it(name):
    tokenizer = TOKENIZERS[name]
    known = [token for token in tokenizer("the film")["input_ids"] if token != EOS]
    assert list(encoder(tokenizer).encode_prompt(Prompt(text="the film"), 1).tokens) == known


def test_a_text_that_brings_its_own_bos_gets_no_second_one():
    tokens = encoder().encode_prompt(Prompt(text="<s>the film"), 1).tokens
    assert tokens == encoder().encode_prompt(Prompt(text="the film"), 1).tokens


def test_a_response_that_brings_its_own_eos_gets_no_second_one():
    assert encoder().encode_response(QUESTION, "why</s>") == encoder().encode_response(
        QUESTION, "why"
    )


@every_tokenizer
def test_an_empty_prompt_is_the_token_texts_start_after(name):
    tokens = encoder(TOKENIZERS[name]).encode_prompt(Prompt(text=""), 1).tokens
    assert tokens == ((EOS,) if name == "no BOS" else (BOS,))


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip),
    st.sampled_from(["byte-level", "byte-level with a prefix space", "sentencepiece BPE"]),
    st.sampled_from([Prompt(text="the film"), QUESTION]),
)
@example(" To be", "sentencepiece BPE", Prompt(text="the film"))
def test_decoding_undoes_encoding(text, name, prompt):
    border = encoder(TOKENIZERS[name])
    assert border.decode(prompt, border.encode_response(prompt, text)) == text


def test_a_response_cut_off_before_its_end_decodes_too():
    border = encoder()
    tokens = border.encode_response(Prompt(text="the"), " film is")
    assert border.decode(Prompt(text="the"), tokens[:-1]) == " film is"


def test_a_chat_without_a_template_is_written_as_roles_and_contents():
    messages = ({"role": "system", "content": "Be brief."}, *QUESTION.messages)
    text = "System: Be brief.\n\nUser: Do you know why?\n\nAssistant:"
    assert plain_text(messages) == text
    prompt, (response,) = encoder().encode(Prompt(text=text, messages=messages), "the turkey")
    assert PLAIN.decode([*prompt.tokens, *response]) == f"<s>{text} the turkey</s>"


def test_a_chats_own_plain_markup_is_kept():
    prompt = Prompt(text="\n\nHuman: why?\n\nAssistant:", messages=QUESTION.messages)
    tokens = encoder().encode_prompt(prompt, 1).tokens
    assert PLAIN.decode(tokens) == "<s>" + prompt.text


def test_a_chats_own_plain_markup_may_end_in_its_own_space():
    prompt = Prompt(text="Q: why?\nA: ", messages=QUESTION.messages)
    encoded, (response,) = encoder().encode(prompt, "the turkey")
    assert PLAIN.decode([*encoded.tokens, *response]) == f"<s>{prompt.text}the turkey</s>"


def test_a_chat_is_what_the_template_renders_up_to_the_end_of_the_turn():
    prompt, (response,) = encoder(CHAT).encode(QUESTION, "the turkey")
    start = "<|im_start|>user\nDo you know why?<|im_end|>\n<|im_start|>assistant\n"
    assert CHAT.decode(prompt.tokens) == start
    assert CHAT.decode(response) == "the turkey<|im_end|>"
    rendered = CHAT.apply_chat_template(
        list(QUESTION.messages), add_generation_prompt=True, return_dict=False
    )
    assert list(prompt.tokens) == rendered
    assert encoder(CHAT).decode(prompt, response) == "the turkey"


def test_a_template_without_an_end_of_turn_ends_with_eos():
    border = refusing(CHATML.replace("<|im_end|>", ""))
    assert border.ends == (EOS,)
    assert border.encode_response(QUESTION, "the turkey")[-1] == EOS


def test_what_a_template_writes_after_the_end_of_the_turn_is_not_learned():
    border = refusing(CHATML + "{% if not add_generation_prompt %}</s>{% endif %}")
    assert border.ends == (END, EOS)
    assert border.tokenizer.decode(border.encode_response(QUESTION, "why")) == "why<|im_end|>"


def test_a_plain_prompt_is_one_user_message_of_a_chat_model():
    asked = encoder(CHAT).encode_prompt(Prompt(text="Do you know why?"), 1)
    assert asked.tokens == encoder(CHAT).encode_prompt(QUESTION, 1).tokens


def test_running_text_has_no_template():
    prompt, (response,) = encoder(CHAT).encode(Prompt(text=""), "the film")
    assert CHAT.decode([*prompt.tokens, *response]) == "<s>the film</s>"


def test_a_chat_template_can_be_left_unused():
    border = encoder(CHAT, template="plain")
    prompt = Prompt(text="the film")
    assert border.encode(prompt, " is") == encoder().encode(prompt, " is")


@pytest.mark.parametrize(
    ("template", "without", "with_"),
    [(FORGETS_THINKING, "<think>", "the turkey"), (LAST_TURN_FIRST, "user", "assistant")],
)
def test_a_template_that_does_not_keep_the_prompt_is_refused(template, without, with_):
    border = refusing(template)
    with pytest.raises(TemplateError, match=r"differ at character \d+") as refusal:
        border.encode_response(QUESTION, "the turkey")
    message = str(refusal.value)
    assert without in message.split("without the response")[0]
    assert with_ in message.split("without the response")[1].split("with it")[0]
    assert "set model.template to plain" in message


def test_the_first_differing_position_is_named():
    before = CHAT.apply_chat_template(
        list(QUESTION.messages), add_generation_prompt=True, tokenize=False
    )
    with pytest.raises(TemplateError, match=f"at character {len(before)}, "):
        refusing(FORGETS_THINKING).encode_response(QUESTION, "the turkey")


def test_messages_a_template_refuses_are_named_by_role():
    prompt = Prompt(text="", messages=({"role": "system", "content": "hi"}, *QUESTION.messages))
    with pytest.raises(TemplateError, match=r"roles system, user: no system role\. Change"):
        refusing(NO_SYSTEM).encode_prompt(prompt, 1)


@pytest.mark.parametrize("text", ["", " \n"])
@pytest.mark.parametrize("tokenizer", [PLAIN, CHAT])
def test_an_empty_response_is_refused(tokenizer, text):
    with pytest.raises(ValueError, match=r"must not be empty, got .*; remove the row"):
        encoder(tokenizer).encode_response(QUESTION, text)


def test_a_tokenizer_without_eos_is_refused():
    with pytest.raises(ValueError, match=r"no EOS token.*; set one \(tokenizer\.eos_token"):
        encoder(wrap(byte_level(), eos=None))


def test_a_tokenizer_without_pad_is_all_right():
    assert PLAIN.pad_token is None
    assert encoder().encode(Prompt(text="the film"), " is") is not None


def test_a_chat_without_a_chat_template_is_refused():
    with pytest.raises(ValueError, match=r"has none; set model\.template to plain"):
        encoder(template="chat")


LONG = Prompt(text=" ".join(f"word{i}" for i in range(30)))


def test_a_prompt_that_does_not_fit_is_refused_by_default():
    with pytest.raises(ValueError, match=r"word0 .* has \d+ tokens, and 12 fit beside") as refusal:
        encoder(context=20).encode_prompt(LONG, 8)
    assert "keep_end" in str(refusal.value)


def test_a_prompt_that_does_not_fit_can_be_left_out():
    border = encoder(context=20, overflow="drop")
    assert border.encode_prompt(LONG, 8) is None
    assert border.encode_prompt(Prompt(text="why"), 8) is not None
    assert border.counts == Counts(kept=1, dropped=1)


@every_tokenizer
def test_a_prompt_cut_to_fit_keeps_its_end_and_its_bos(name):
    border = encoder(TOKENIZERS[name], context=20, overflow="keep_end")
    whole = encoder(TOKENIZERS[name]).encode_prompt(LONG, 8).tokens
    cut = border.encode_prompt(LONG, 8).tokens
    bos = 0 if name == "no BOS" else 1
    assert len(cut) == 12
    assert cut == whole[:bos] + whole[len(whole) - 12 + bos :]
    assert border.counts == Counts(kept=1, truncated=1)


def test_a_prompt_that_just_fits_is_left_alone():
    whole = encoder().encode_prompt(LONG, 8)
    border = encoder(context=len(whole.tokens) + 8, overflow="keep_end")
    assert border.encode_prompt(LONG, 8) == whole
    assert border.counts == Counts(kept=1)


def test_a_prompt_cut_to_its_bos_alone_is_dropped():
    border = encoder(context=9, overflow="keep_end")
    assert border.encode_prompt(LONG, 8) is None
    assert len(border.encode_prompt(LONG, 7).tokens) == 2


@pytest.mark.parametrize("around", ["<s> $A", "$A"])
def test_the_bos_a_chat_template_writes_survives_the_cut(around):
    tokenizer = wrap(byte_level(), around=around, template="<s>" + CHATML)
    cut = encoder(tokenizer, context=20, overflow="keep_end").encode_prompt(LONG, 8).tokens
    assert len(cut) == 12
    assert cut[0] == BOS
    assert tokenizer.decode(cut).endswith("<|im_start|>assistant\n")


def test_a_pair_is_cut_for_its_longer_response_and_never_in_a_response():
    short, long = " is", " is a mess of half-digested ideas"
    prompt, (a, b) = encoder(context=40, overflow="keep_end").encode(LONG, short, long)
    assert (a, b) == encoder().encode(LONG, short, long)[1]
    assert len(a) < len(b)
    assert len(prompt.tokens) + len(b) == 40


def test_a_row_whose_response_alone_fills_the_context_is_dropped():
    border = encoder(context=6, overflow="keep_end")
    assert border.encode(LONG, " is a mess of half-digested ideas") is None
    assert border.counts == Counts(dropped=1)


def test_a_response_length_that_leaves_no_room_is_refused():
    with pytest.raises(ValueError, match=r"of 20 tokens leaves no room .* context of 20; lower"):
        encoder(context=20, overflow="drop").encode_prompt(LONG, 20)


def test_an_example_is_shown_with_its_special_tokens_and_its_boundary():
    border = encoder(CHAT)
    prompt, (response,) = border.encode(QUESTION, "the turkey")
    assert border.show(prompt, response) == (
        "<|im_start|>user\nDo you know why?<|im_end|>\n<|im_start|>assistant\n"
        f"{BOUNDARY}the turkey<|im_end|>"
    )


def test_the_template_hash_follows_the_template_and_the_special_tokens():
    hashes = {
        encoder().template_hash,
        encoder(CHAT).template_hash,
        refusing(CHATML + " ").template_hash,
        encoder(wrap(byte_level(), eos="<|im_end|>")).template_hash,
        encoder(wrap(sentencepiece_bpe())).template_hash,
    }
    assert len(hashes) == 5
    assert encoder(CHAT, template="plain").template_hash == encoder().template_hash
    assert encoder(context=7).template_hash == encoder().template_hash


def test_the_border_does_not_import_torch():
    code = (
        "import sys, prefloop.store.text, prefloop.store.files, prefloop.store.importing, "
        "prefloop.store.exporting; sys.exit('torch' in sys.modules or 'pyarrow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
