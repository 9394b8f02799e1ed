"""Files and folders that appear whole or not at all: made beside their place, then moved there."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write(path: Path, text: str, *, errors: str = "strict") -> None:
    """Replace a file as a whole: a reader sees the old text or the new one."""
    part = beside(path)
    part.write_text(text, encoding="utf-8", errors=errors)
    part.replace(path)


@contextmanager
def folder(path: Path) -> Iterator[Path]:
    """Fill the folder that is given; it takes the place of `path` when the block ends well."""
    part = beside(path)
    shutil.rmtree(part, ignore_errors=True)
    yield part
    shutil.rmtree(path, ignore_errors=True)
    part.rename(path)


def beside(path: Path) -> Path:
    """Where what will be `path` is made."""
    return path.with_name(path.name + ".part")
