"""What is exported is what was answered, in a file that datasets and TRL read."""

from pathlib import Path
from types import SimpleNamespace

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from prefloop.store.exporting import write_preferences
from prefloop.store.files import read_rows
from prefloop.store.importing import Pair, preferences
from prefloop.store.text import Encoder, plain_text
from prefloop.types import Preference, Prompt, Query, Response

TESTBED = Path(__file__).parents[2] / "src" / "prefloop" / "testbed" / "model"
QUESTION = {"role": "user", "content": "Why?"}
CHAT = Prompt(text=plain_text([QUESTION]), messages=(QUESTION,))
HH = Prompt(text="\n\nHuman: Why?\n\nAssistant:", messages=(QUESTION,))
PLAIN = Prompt(text="The film is")


def answered(pair, **of_b):
    a = Response(prompt=pair.prompt, text=pair.a, policy_version=3)
    b = Response(prompt=pair.prompt, text=pair.b, **of_b)
    return Preference(query=Query(prompt=pair.prompt, a=a, b=b), p=pair.p)


def pair(prompt=PLAIN, *, a=" good", b=" bad", p=1.0):
    return Pair(prompt=prompt, a=a, b=b, p=p)


def there_and_back(pairs, path, **options):
    write_preferences([answered(one) for one in pairs], path, **options)
    return list(preferences(read_rows(path)))


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).filter(str.strip)
drawn = st.tuples(texts, texts, texts, st.floats(0, 1)).filter(lambda row: row[1] != row[2])


@given(st.lists(drawn, min_size=1, max_size=5))
def test_plain_preferences_come_back_as_they_were(tmp_path_factory, rows):
    """Named so that a is the likelier winner: an export has no other order."""
    path = tmp_path_factory.mktemp("export") / "labels.parquet"
    made = [pair(Prompt(text=text), a=a, b=b, p=p) for text, a, b, p in rows]
    wanted = [one if one.p >= 0.5 else one.swap() for one in made]
    assert there_and_back(made, path) == wanted


def test_chats_come_back_as_they_were_each_with_its_own_markup(tmp_path):
    made = [pair(CHAT, a="Because.", b="So."), pair(HH, a="Because.", b="No.", p=0.75)]
    assert there_and_back(made, tmp_path / "labels.parquet") == made


def test_the_likelier_winner_is_chosen_whatever_it_was_called(tmp_path):
    path = tmp_path / "labels.parquet"
    write_preferences([answered(pair(p=0.25), source="reference", policy_version=0)], path)
    (row,) = read_rows(path)
    assert row == {
        "prompt": "The film is",
        "chosen": " bad",
        "rejected": " good",
        "p": 0.75,
        "chosen_source": "reference",
        "rejected_source": "policy",
        "chosen_version": 0,
        "rejected_version": 3,
    }


def test_ties_are_kept_as_asked_or_dropped(tmp_path):
    made = [pair(p=0.5), pair(a=" fine")]
    assert there_and_back(made, tmp_path / "all.parquet") == made
    assert there_and_back(made, tmp_path / "decided.parquet", ties="drop") == made[1:]


def test_the_number_of_rows_is_told(tmp_path):
    made = [answered(pair()), answered(pair(p=0.5))]
    assert write_preferences(iter(made), tmp_path / "labels.parquet", ties="drop") == 1


def loaded(path, prompt):
    made = [answered(pair(prompt)), answered(pair(prompt, a=" fine", b=" a mess"))]
    write_preferences(made, path / "labels.parquet")
    return datasets.load_dataset(
        "parquet", data_files=str(path / "labels.parquet"), cache_dir=str(path), split="train"
    )


@pytest.mark.parametrize("prompt", [PLAIN, CHAT])
def test_datasets_and_trl_read_the_format(tmp_path, prompt):
    from trl.data_utils import is_conversational, maybe_extract_prompt

    dataset = loaded(tmp_path, prompt)
    assert list(dataset["p"]) == [1.0, 1.0]
    assert is_conversational(dataset[0]) == bool(prompt.messages)
    assert maybe_extract_prompt(dataset[0]) == dataset[0]


ROLES = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}{% if m['role'] == 'assistant' %}"
    "{{ eos_token }}{% endif %}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
)


@pytest.mark.parametrize("prompt", [PLAIN, CHAT])
def test_trl_trains_on_the_tokens_that_prefloop_trains_on(tmp_path, prompt):
    """TRL tokenises prompt and response together and keeps what a template writes after EOS."""
    from trl import DPOTrainer

    tokenizer = AutoTokenizer.from_pretrained(TESTBED)
    tokenizer.chat_template = ROLES if prompt.messages else None
    settings = SimpleNamespace(dataset_num_proc=None, max_length=None)
    trainer = SimpleNamespace(_tokenizer=tokenizer)
    (first, _) = DPOTrainer._prepare_dataset(
        trainer, loaded(tmp_path, prompt), tokenizer, settings, "train"
    )
    encoded, (a, b) = Encoder(tokenizer, context=100).encode(prompt, " good", " bad")
    assert first["prompt_ids"] == list(encoded.tokens)
    assert first["chosen_ids"][: len(a)] == list(a)
    assert first["rejected_ids"][: len(b)] == list(b)
    assert tokenizer.decode(first["chosen_ids"][len(a) :]).strip() == ""


@pytest.mark.parametrize("ties", ["keep", "drop"])
def test_nothing_to_export_is_refused(tmp_path, ties):
    made = [answered(pair(p=0.5))] if ties == "drop" else []
    with pytest.raises(ValueError, match=r"no preferences to write .*; collect some labels first"):
        write_preferences(made, tmp_path / "labels.parquet", ties=ties)


def test_chats_and_plain_prompts_need_two_files(tmp_path):
    with pytest.raises(ValueError, match=r"1 of 2 prompts are chats .*; export .* to two files"):
        write_preferences([answered(pair()), answered(pair(CHAT))], tmp_path / "labels.parquet")


def test_only_parquet_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"as Parquet, got labels\.csv; end it in \.parquet"):
        write_preferences([answered(pair())], tmp_path / "labels.csv")


def test_missing_folders_are_made(tmp_path):
    path = tmp_path / "a" / "b" / "labels.parquet"
    assert there_and_back([pair()], path) == [pair()]
    assert [file.name for file in path.parent.iterdir()] == ["labels.parquet"]


def test_a_disk_that_cannot_be_written_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(table, path):
        path.write_bytes(b"PAR1")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.write_table", full)
    with pytest.raises(OSError, match=r"cannot write .*labels\.parquet: .*No space left"):
        write_preferences([answered(pair())], tmp_path / "labels.parquet")
    assert list(tmp_path.iterdir()) == []
