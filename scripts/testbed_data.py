"""What the steps of `make_testbed.py` share: where things lie, the rows, and the noted numbers."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SENTENCES = ROOT / "data/movies/sentences.jsonl.gz"
TESTBED = ROOT / "src/prefloop/testbed"
CARD = TESTBED / "card.json"
REVIEWS = ("movie_reviews", "sentence_polarity", "subjectivity_quote")


@dataclass(frozen=True)
class Sentence:
    """One row of the data; `doc` is the review it was cut from."""

    text: str
    source: str
    label: int | None
    doc: str
    split: str

    @property
    def is_dev(self) -> bool:
        """One review in fifty of the train split: for early stopping, never trained on."""
        return self.split == "train" and zlib.crc32(self.doc.encode()) % 50 == 0


def read_sentences() -> list[Sentence]:
    """Every row, in file order."""
    with gzip.open(SENTENCES, "rt", encoding="utf-8") as lines:
        return [Sentence(**json.loads(line)) for line in lines]


def review_texts(rows: Sequence[Sentence], keep: Callable[[Sentence], bool]) -> list[str]:
    """Texts of all review sentences that `keep` accepts, none filtered by its words."""
    return [row.text for row in rows if row.source in REVIEWS and keep(row)]


def in_split(split: str) -> Callable[[Sentence], bool]:
    """Whether a row is of that split."""
    return lambda row: row.split == split


def note(section: str, facts: dict[str, Any]) -> None:
    """Record what a step measured in `card.json`."""
    card = json.loads(CARD.read_text()) if CARD.exists() else {}
    CARD.write_text(json.dumps(card | {section: facts}, indent=1) + "\n")
    print(section, facts, flush=True)
