"""The testbed's data as the tests read it."""

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[2] / "data/movies/sentences.jsonl.gz"


@cache
def rows() -> list[dict[str, Any]]:
    """Every row of the sentence file."""
    with gzip.open(FILE, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def review_sentences(split: str) -> list[str]:
    """The split's sentences, plot summaries left out."""
    return [r["text"] for r in rows() if r["split"] == split and r["source"] != "subjectivity_plot"]


def held_out_polarity() -> tuple[list[str], list[int]]:
    """Sentences with human labels that no classifier was fitted on."""
    kept = [r for r in rows() if r["source"] == "sentence_polarity" and r["split"] != "train"]
    return [r["text"] for r in kept], [r["label"] for r in kept]
