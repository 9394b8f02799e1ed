"""Public formats mean here what they mean where they come from."""

from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from prefloop.store.files import read_rows
from prefloop.store.importing import FORMATS, Pair, detect, preferences, prompts, unpaired
from prefloop.store.text import BOUNDARY, Encoder, plain_text
from prefloop.types import Prompt, Response

ROOT = Path(__file__).parents[2]
HH = ROOT / "data" / "preferences" / "hh_helpful_base_test.jsonl.gz"
TESTBED = ROOT / "src" / "prefloop" / "testbed" / "model"


def user(content):
    return {"role": "user", "content": content}


def assistant(content):
    return {"role": "assistant", "content": content}


SKY = Prompt(
    text="User: What colour is the sky?\n\nAssistant:", messages=(user("What colour is the sky?"),)
)
BLUE = Pair(prompt=SKY, a="It is blue.", b="It is green.", p=1.0)
PLAIN_BLUE = Pair(prompt=Prompt(text="The sky is"), a=" blue.", b=" green.", p=1.0)


def only(found):
    (one,) = found
    return one


@pytest.mark.parametrize(
    ("row", "pair"),
    [
        ({"prompt": "The sky is", "chosen": " blue.", "rejected": " green."}, PLAIN_BLUE),
        ({"chosen": "The sky is blue.", "rejected": "The sky is green."}, PLAIN_BLUE),
        (
            {
                "prompt": list(SKY.messages),
                "chosen": [assistant("It is blue.")],
                "rejected": [assistant("It is green.")],
            },
            BLUE,
        ),
        (
            {
                "chosen": [*SKY.messages, assistant("It is blue.")],
                "rejected": [*SKY.messages, assistant("It is green.")],
            },
            BLUE,
        ),
        (
            {
                "prompt": "a title beside whole conversations",
                "chosen": [*SKY.messages, assistant("It is blue.")],
                "rejected": [*SKY.messages, assistant("It is green.")],
            },
            BLUE,
        ),
        (
            {
                "prompt": list(SKY.messages),
                "chosen": [*SKY.messages, assistant("It is blue.")],
                "rejected": [*SKY.messages, assistant("It is green.")],
            },
            BLUE,
        ),
        (
            {"prompt": list(SKY.messages), "chosen": "It is blue.", "rejected": "It is green."},
            BLUE,
        ),
        ({"prompt": "The sky is", "a": " blue.", "b": " green.", "p": 1}, PLAIN_BLUE),
    ],
    ids=[
        "plain",
        "plain, implicit prompt",
        "conversational",
        "conversational, implicit prompt",
        "conversational beside a title",
        "conversational, prompt repeated",
        "messages and texts",
        "prefloop",
    ],
)
def test_a_preference_is_the_same_in_every_format(row, pair):
    assert only(preferences([row])) == pair


@pytest.mark.parametrize("p", [0.0, 0.3, 0.5, 1])
def test_a_soft_label_is_kept(p):
    row = {"prompt": "The sky is", "chosen": " blue.", "rejected": " green.", "p": p}
    assert only(preferences([row])).p == p


@given(*[st.text("ab ", max_size=5)] * 3)
def test_an_implicit_prompt_is_the_one_that_trl_extracts(start, chosen, rejected):
    """Where neither text is the start of the other: TRL then moves the last shared character to
    the responses, here the shorter response would be empty."""
    from trl.data_utils import extract_prompt

    row = {"chosen": f"a{start}{chosen}", "rejected": f"a{start}{rejected}"}
    short = min(map(len, row.values()))
    assume(row["chosen"][:short] != row["rejected"][:short])
    wanted = extract_prompt(row)
    assume(wanted["chosen"].strip() and wanted["rejected"].strip())
    pair = only(preferences([row]))
    assert (pair.prompt.text, pair.a, pair.b) == tuple(wanted.values())


FIRST = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Why?\n\nAssistant:"
TURNS = (user("Hi"), assistant("Hello."), user("Why?"))


@pytest.mark.parametrize(
    "row",
    [
        {"chosen": FIRST + " So.", "rejected": FIRST + " No idea."},
        {"prompt": FIRST, "chosen": " So.", "rejected": " No idea."},
        {"prompt": FIRST, "chosen": "So.", "rejected": "No idea."},
    ],
)
def test_an_hh_transcript_is_a_chat_that_keeps_its_own_plain_text(row):
    assert only(preferences([row])) == Pair(
        prompt=Prompt(text=FIRST, messages=TURNS), a="So.", b="No idea.", p=1.0
    )


def test_a_text_that_is_no_whole_hh_transcript_is_plain():
    half = FIRST.removesuffix("\n\nAssistant:")
    assert only(prompts([{"prompt": half}])) == Prompt(text=half)


def test_an_hh_answer_that_goes_on_as_both_speakers_is_one_answer():
    runs_on = " So.\n\nHuman: Really?\n\nAssistant: Yes."
    pair = only(preferences([{"chosen": FIRST + runs_on, "rejected": FIRST + " No."}]))
    assert (pair.prompt.text, pair.a) == (FIRST, runs_on.strip())


def test_hh_turns_of_one_speaker_in_a_row_become_one_message():
    text = "\n\nHuman: Hi\n\nAssistant: One.\n\nAssistant: Two.\n\nHuman: Why?\n\nAssistant:"
    prompt = only(prompts([{"prompt": text}]))
    assert prompt.messages == (user("Hi"), assistant("One.\n\nTwo."), user("Why?"))
    assert prompt.text == text


def test_the_real_hh_file_loads_to_its_last_row():
    pairs = list(preferences(read_rows(HH)))
    assert len(pairs) == 2347
    for pair in pairs:
        roles = [message["role"] for message in pair.prompt.messages]
        assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
    first = pairs[0]
    question = "Do you know why turkeys became the official food of thanksgiving?"
    assert first.prompt.messages == (user(question),)
    assert first.prompt.text == f"\n\nHuman: {question}\n\nAssistant:"
    assert first.a.startswith("To be honest")
    assert first.b.startswith("I know that")
    assert first.prompt.meta == {"subset": "helpful-base", "turns": 1}


def test_the_real_hh_file_shows_its_first_example_as_the_model_will_see_it():
    border = Encoder(AutoTokenizer.from_pretrained(TESTBED), context=1024, overflow="drop")
    first = next(preferences(read_rows(HH)))
    prompt, (a, _) = border.encode(first.prompt, first.a, first.b)
    shown = border.show(prompt, a)
    assert shown.startswith("<s>")
    assert shown.endswith(f"{first.prompt.text}{BOUNDARY} {first.a}</s>")


def test_the_real_hh_file_as_transcripts_gives_the_same_pairs():
    rows = list(read_rows(HH))
    whole = [{k: f"{r['prompt']} {r[k]}" for k in ("chosen", "rejected")} for r in rows]
    assert list(preferences(whole)) == list(preferences(rows))


def test_prompts_keep_their_other_columns():
    found = only(prompts([{"prompt": "The sky is", "topic": "sky", "label": 1}]))
    assert found == Prompt(text="The sky is")
    assert found.meta == {"topic": "sky", "label": 1}


def test_a_conversational_prompt_has_messages_and_a_text():
    found = only(prompts([{"prompt": [user("What colour is the sky?")]}]))
    assert found == SKY
    assert found.text == plain_text(found.messages)


def test_a_message_of_text_parts_is_their_text():
    parts = [{"type": "text", "text": "What colour "}, {"type": "text", "text": "is the sky?"}]
    assert only(prompts([{"prompt": [user(parts)]}])) == SKY


@pytest.mark.parametrize(
    ("row", "response"),
    [
        (
            {"prompt": "The sky is", "completion": " blue.", "label": True},
            Response(prompt=Prompt(text="The sky is"), text=" blue.", desirable=True),
        ),
        (
            {"prompt": [*SKY.messages], "completion": [assistant("Red.")], "label": 0},
            Response(prompt=SKY, text="Red.", desirable=False),
        ),
        (
            {"prompt": "The sky is", "completion": " blue."},
            Response(prompt=Prompt(text="The sky is"), text=" blue."),
        ),
        (
            {"messages": [*SKY.messages, assistant("It is blue.")]},
            Response(prompt=SKY, text="It is blue."),
        ),
        ({"text": "The sky is blue."}, Response(prompt=Prompt(text=""), text="The sky is blue.")),
    ],
)
def test_single_responses_come_from_the_data(row, response):
    found = only(unpaired([row]))
    assert (found.prompt, found.text, found.desirable) == (
        response.prompt,
        response.text,
        response.desirable,
    )
    assert found.source == "dataset"


def test_a_text_rows_label_is_no_verdict():
    found = only(unpaired([{"text": "The sky is blue.", "label": 1}]))
    assert found.desirable is None
    assert found.prompt.meta == {"label": 1}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_told_by_its_columns(name):
    assert detect([*FORMATS[name], "anything"]) == name


def test_unknown_columns_name_the_ones_seen_and_the_formats_known():
    with pytest.raises(
        ValueError, match=r"row 1: .*columns question, best\. Known are: "
    ) as refusal:
        list(preferences([{"question": "x", "best": "y"}]))
    assert "preference: prompt, chosen, rejected" in str(refusal.value)


GOOD = {"prompt": "The sky is", "chosen": " blue.", "rejected": " green."}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chosen": ""}, r"row 2: a response must not be empty, got ''; remove"),
        ({"rejected": " \n"}, r"row 2: a response must not be empty, got ' \\n'; remove"),
        ({"rejected": " blue."}, r"row 2: .* identical, ' blue\.', .*; remove the row"),
        ({"p": 1.2}, r"row 2: p must be a probability in \[0, 1\], got 1\.2"),
        ({"p": float("nan")}, r"row 2: p must be a probability in \[0, 1\], got nan"),
        ({"p": None}, r"row 2: p must be a probability in \[0, 1\], got None"),
        ({"prompt": 7}, r"row 2: a text or a list of messages is wanted, got 7"),
        ({"chosen": None}, r"row 2: a text or a list of messages is wanted, got None"),
        ({"prompt": [{"from": "human"}]}, r"row 2: a message has a role and a content .*'human'"),
        (
            {"prompt": [user([{"type": "image"}])]},
            r"row 2: a message has .*; images and tool calls are not supported",
        ),
        (
            {"chosen": [assistant("a")], "rejected": [assistant("b")]},
            r"row 2: chosen and rejected must begin with the same turns, or have a prompt of mess",
        ),
        (
            {
                "prompt": [user("x")],
                "chosen": [assistant("a"), user("b"), assistant("c")],
                "rejected": [assistant("d")],
            },
            r"row 2: a response is one assistant message, got the roles assistant, user, assistant",
        ),
        (
            {"prompt": None, "chosen": "\n\nHuman: a", "rejected": "\n\nHuman: b"},
            r"row 2: the transcripts share no '\\n\\nAssistant:' turn",
        ),
    ],
)
def test_a_bad_preference_row_is_refused_by_number_with_a_remedy(change, message):
    with pytest.raises(ValueError, match=message):
        list(preferences([GOOD, {**GOOD, **change}]))


def test_bad_rows_can_be_left_out_and_accounted_for():
    skipped = []
    rows = [GOOD, {**GOOD, "chosen": ""}, GOOD, {**GOOD, "rejected": " blue."}]
    assert list(preferences(rows, skipped=skipped)) == [PLAIN_BLUE] * 2
    assert [message.partition(":")[0] for message in skipped] == ["row 2", "row 4"]


def test_rows_of_another_kind_say_what_they_are():
    with pytest.raises(ValueError, match=r"\(prompt, completion\) .* of prompt-completion data"):
        list(preferences([{"prompt": "x", "completion": "y"}]))
    with pytest.raises(ValueError, match=r"\(prompt, chosen, rejected\) .* of preference data"):
        list(unpaired([GOOD]))


def test_prompts_without_a_prompt_column_name_what_there_is():
    with pytest.raises(
        ValueError, match=r"row 1: there is no column 'prompt' \(has: question, id\)"
    ):
        list(prompts([{"question": "x", "id": 3}]))


def test_a_label_that_is_no_verdict_is_refused():
    with pytest.raises(ValueError, match=r"row 1: label must be true or false, got 'good'"):
        list(unpaired([{"prompt": "x", "completion": "y", "label": "good"}]))


def test_a_conversation_needs_an_answer_at_its_end():
    with pytest.raises(ValueError, match=r"one assistant message, got the roles user"):
        list(unpaired([{"messages": [user("x"), assistant("y"), user("z")]}]))


def test_swapping_a_pair_twice_changes_nothing():
    assert BLUE.swap().swap() == BLUE
    assert (BLUE.swap().a, BLUE.swap().p) == (BLUE.b, 0.0)
