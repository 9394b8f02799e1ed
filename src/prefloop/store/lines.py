"""JSON lines that come a chunk at a time, under another name until all are there."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from prefloop.store.files import Row


@dataclass(frozen=True, kw_only=True)
class Lines:
    """A file of rows that a killed process has begun and the same one, started again, finishes.

    `path.part` holds the rows so far, after a line that says what they are rows of.
    """

    path: Path
    described: Row
    """what decides the rows: another description is another file"""

    def resume(self, chunk: int, total: int) -> int:
        """How many rows there are, in whole chunks; what a kill cut off is dropped.

        ValueError if the file is finished, or another one was begun under its name.
        """
        if self.path.exists():
            raise ValueError(f"{self.path} is there already; remove it, or write to another file")
        head, *rows = self._rows() or [self._head]
        if head != self._head:
            raise ValueError(
                f"{self._part} was begun with other settings; put them back to finish it, remove "
                "it, or write to another file"
            )
        whole = total if len(rows) >= total else len(rows) // chunk * chunk
        if whole:
            self._replace(self._part, [head, *rows[:whole]])
        else:
            self._part.unlink(missing_ok=True)
        return whole

    def add(self, rows: Sequence[Row]) -> None:
        """Rows that are safe on the disk when this returns."""
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        if not self._part.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lines.insert(0, self._head)
        with self._part.open("a", encoding="utf-8") as file:
            file.write("".join(line + "\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())

    def finish(self) -> None:
        """The rows alone, in their place at once."""
        self._replace(self.path, self._rows()[1:])
        self._part.unlink()

    @cached_property
    def _head(self) -> str:
        return json.dumps(self.described, ensure_ascii=False, sort_keys=True)

    @property
    def _part(self) -> Path:
        return self.path.with_name(self.path.name + ".part")

    def _rows(self) -> list[str]:
        """Whole lines only: what follows the last newline was cut off."""
        if not self._part.exists():
            return []
        return self._part.read_text(encoding="utf-8").split("\n")[:-1]

    def _replace(self, path: Path, lines: Sequence[str]) -> None:
        ready = self.path.with_name(self.path.name + ".ready")
        ready.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        os.replace(ready, path)
