"""A file of rows that comes in chunks is either not there or whole, and goes on after a kill."""

import json
from pathlib import Path

import pytest

from prefloop.store.files import read_rows
from prefloop.store.lines import Lines

ROWS = [{"i": i, "text": f"ü {i}"} for i in range(7)]


def lines(folder: Path, **described: object) -> Lines:
    return Lines(path=folder / "out" / "rows.jsonl", described={"seed": 0, **described})


def part(folder: Path) -> Path:
    return folder / "out" / "rows.jsonl.part"


def test_rows_are_in_place_once_all_are_there(tmp_path: Path) -> None:
    found = lines(tmp_path)
    assert found.resume(2, 7) == 0
    for start in range(0, 7, 2):
        found.add(ROWS[start : start + 2])
        assert not found.path.exists()
    found.finish()
    assert list(read_rows(found.path)) == ROWS
    assert [file.name for file in found.path.parent.iterdir()] == ["rows.jsonl"]


@pytest.mark.parametrize("cut", range(1, 90, 7))
def test_whatever_a_kill_leaves_the_file_ends_the_same(tmp_path: Path, cut: int) -> None:
    first = lines(tmp_path)
    first.resume(2, 7)
    first.add(ROWS[:2])
    first.add(ROWS[2:4])
    part(tmp_path).write_bytes(part(tmp_path).read_bytes()[:-cut])
    again = lines(tmp_path)
    done = again.resume(2, 7)
    assert done in (0, 2)
    again.add(ROWS[done:])
    again.finish()
    assert list(read_rows(again.path)) == ROWS


def test_the_last_chunk_may_be_short(tmp_path: Path) -> None:
    first = lines(tmp_path)
    first.resume(4, 7)
    first.add(ROWS[:4])
    first.add(ROWS[4:])
    assert lines(tmp_path).resume(4, 7) == 7


def test_nothing_is_left_by_what_never_had_a_row(tmp_path: Path) -> None:
    assert lines(tmp_path).resume(2, 7) == 0
    assert not (tmp_path / "out").exists()


def test_other_settings_and_finished_files_are_refused(tmp_path: Path) -> None:
    first = lines(tmp_path)
    first.resume(2, 2)
    first.add(ROWS[:2])
    before = part(tmp_path).read_text()
    with pytest.raises(ValueError, match="begun with other settings; put them back"):
        lines(tmp_path, best_of=3).resume(2, 2)
    assert part(tmp_path).read_text() == before
    first.finish()
    with pytest.raises(ValueError, match="is there already; remove it"):
        lines(tmp_path).resume(2, 2)


def test_a_row_is_one_line_as_it_was(tmp_path: Path) -> None:
    found = lines(tmp_path)
    odd = {"text": "a\nb\u2028c\r"}
    found.add([odd])
    found.finish()
    assert found.path.read_bytes().count(b"\n") == 1
    assert json.loads(found.path.read_text()) == odd
