"""Rows come out of every kind of file alike, and a broken file says where it is broken."""

import gzip
import json

import datasets
import pyarrow
import pytest
from pyarrow import parquet

from prefloop.store.files import read_rows

ROWS = [{"prompt": "the film", "label": 1}, {"prompt": "süß", "label": None}, {"prompt": "x\ny"}]


def lines(rows=ROWS):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write(path, data):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("rows.jsonl", lines()),
        ("rows.jsonl.gz", gzip.compress(lines().encode(), mtime=0)),
        ("rows.json", json.dumps(ROWS)),
        ("rows.json.gz", gzip.compress(json.dumps(ROWS, indent=1).encode(), mtime=0)),
        ("blank lines.jsonl", "\n" + lines() + "  \n"),
        ("byte order mark.jsonl", "\ufeff" + lines()),
    ],
)
def test_every_kind_of_json_gives_its_rows(tmp_path, name, data):
    assert list(read_rows(write(tmp_path / name, data))) == ROWS
    assert list(read_rows(str(tmp_path / name), limit=2)) == ROWS[:2]


def test_parquet_gives_its_rows_with_their_messages(tmp_path):
    rows = [{"prompt": [{"role": "user", "content": "why?"}], "p": 0.5}] * 3
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    assert list(read_rows(tmp_path / "rows.parquet", limit=2)) == rows[:2]


def test_a_folder_is_its_files_in_name_order(tmp_path):
    write(tmp_path / "b.jsonl", lines(ROWS[1:]))
    write(tmp_path / "a.jsonl", lines(ROWS[:1]))
    write(tmp_path / "README.md", "not rows")
    assert list(read_rows(tmp_path)) == ROWS


@pytest.mark.parametrize("source", [ROWS, iter(ROWS), datasets.Dataset.from_list(ROWS)])
def test_lists_iterators_and_datasets_are_rows_too(source):
    first = next(read_rows(source, limit=1))
    assert first == ROWS[0]
    assert type(first) is dict


def test_a_limit_reads_no_further(tmp_path):
    path = write(tmp_path / "rows.jsonl", lines() + "{broken")
    assert len(list(read_rows(path, limit=3))) == 3


def test_a_missing_file_names_the_nearest_there_is(tmp_path):
    write(tmp_path / "prompts.jsonl", lines())
    with pytest.raises(FileNotFoundError, match=r"no file .*prompt\.json; did you mean .*s\.jsonl"):
        read_rows(tmp_path / "prompt.json")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere either"):
        read_rows(tmp_path / "nowhere" / "rows.jsonl")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no \.jsonl, .*\.parquet file in folder"):
        read_rows(tmp_path)


def test_an_unknown_kind_of_file_names_the_known_ones(tmp_path):
    path = write(tmp_path / "rows.csv", "prompt\nx\n")
    with pytest.raises(ValueError, match=r"rows\.csv is not a kind .*: \.jsonl, .*, \.parquet"):
        read_rows(path)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.jsonl", lines() + '{"prompt": ', r"a\.jsonl:4 is not JSON: .* at column \d+"),
        ("a.jsonl", lines() + "[1, 2]\n", r"a\.jsonl:4 must hold an object .*, got \[1, 2\]"),
        ("a.json", "[{},\n{]", r"a\.json:2 is not JSON: .*; if .* name it \.jsonl"),
        ("a.json", '{"prompt": "x"}', r"a\.json must hold a list of objects, got dict"),
        ("a.json", "[3]", r"a\.json, item 1, must hold an object .*, got 3"),
        ("a.jsonl.gz", lines(), r"a\.jsonl\.gz is cut off or not a gzip file"),
        (
            "a.jsonl.gz",
            gzip.compress(lines().encode(), mtime=0)[:-20],
            r"is cut off .*; fetch it again",
        ),
        ("a.jsonl", '{"prompt": "süß"}'.encode("latin-1"), r"is not UTF-8: .*; save it as UTF-8"),
        ("a.parquet", b"PAR1 nothing", r"a\.parquet is not a readable Parquet file"),
    ],
)
def test_a_broken_file_says_where_and_what_to_do(tmp_path, name, data, message):
    path = write(tmp_path / name, data)
    with pytest.raises(ValueError, match=message):
        list(read_rows(path))


def test_a_dataset_of_several_splits_asks_for_one():
    splits = datasets.DatasetDict({"train": datasets.Dataset.from_list(ROWS)})
    with pytest.raises(ValueError, match=r"mapping with the keys train; pass one of its values"):
        list(read_rows(splits))


def test_rows_without_column_names_are_refused():
    with pytest.raises(ValueError, match=r"row 2 must have named columns, got 'the film'"):
        list(read_rows([{"prompt": "x"}, "the film"]))
