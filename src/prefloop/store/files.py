"""Rows out of files: JSON lines, JSON, Parquet, or anything that yields mappings."""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Rows = str | Path | Iterable[Any]
"""a file, a folder, or anything that yields mappings from column to value"""
KNOWN = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet")


def read_rows(source: Rows, limit: int | None = None) -> Iterator[Row]:
    """The rows of a file, of a folder of such files in name order, or of a list or dataset.

    A missing file and an unknown extension raise here, a broken row when it is reached.
    """
    if isinstance(source, str | Path):
        files = _files(Path(source))
        return islice((row for file in files for row in _read(file)), limit)
    return islice(_mappings(source), limit)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.name.endswith(KNOWN))
        if not found:
            raise FileNotFoundError(f"no {', '.join(KNOWN)} file in folder {path}")
        return found
    if not path.exists():
        raise FileNotFoundError(f"no file {path}{_nearest(path)}")
    if not path.name.endswith(KNOWN):
        raise ValueError(f"{path.name} is not a kind of file that can be read: {', '.join(KNOWN)}")
    return [path]


def _nearest(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"; there is no folder {folder} either"
    near = get_close_matches(path.name, [file.name for file in folder.iterdir()], n=1, cutoff=0.4)
    return f"; did you mean {folder / near[0]}?" if near else ""


def _read(path: Path) -> Iterator[Row]:
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        return _parquet(path)
    return _json_lines(path) if name.endswith(".jsonl") else _json(path)


def _text(path: Path) -> Iterator[str]:
    """The lines of a text file, zipped or not."""
    opened = gzip.open if path.name.endswith(".gz") else open
    try:
        with opened(path, "rt", encoding="utf-8-sig") as file:
            yield from file
    except (EOFError, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is cut off or not a gzip file: {error}; fetch it again") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error}; save it as UTF-8") from None


def _json_lines(path: Path) -> Iterator[Row]:
    for number, line in enumerate(_text(path), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(
                    f"{path}:{number} is not JSON: {error.msg} at column {error.colno}; "
                    "a JSON-lines file holds one object a line"
                ) from None
            yield _object(row, f"{path}:{number}")


def _json(path: Path) -> Iterator[Row]:
    try:
        rows = json.loads("".join(_text(path)))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}:{error.lineno} is not JSON: {error.msg} at column {error.colno}; "
            "if it holds one object a line, name it .jsonl"
        ) from None
    if not isinstance(rows, list):
        raise ValueError(f"{path} must hold a list of objects, got {type(rows).__name__}")
    for number, row in enumerate(rows, 1):
        yield _object(row, f"{path}, item {number},")


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                yield from batch.to_pylist()
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"{path} is not a readable Parquet file: {error}") from None


def _object(row: Any, where: str) -> Row:
    if not isinstance(row, dict):
        raise ValueError(f"{where} must hold an object with named columns, got {row!r:.60}")
    return row


def _mappings(source: Iterable[Any]) -> Iterator[Row]:
    if isinstance(source, Mapping):
        raise ValueError(
            "rows must be a list or one split of a dataset, got a mapping with the keys "
            f"{', '.join(map(str, source))}; pass one of its values"
        )
    for number, row in enumerate(source, 1):
        if not isinstance(row, Mapping):
            raise ValueError(f"row {number} must have named columns, got {row!r:.60}")
        yield dict(row)
