"""The embedded default: a tiny pretrained model, real prompts, a gold reward and a proxy.

`scripts/make_testbed.py` makes all of it; the card lies beside the model (`model/README.md`).
The text comes from the movie review, sentence polarity and subjectivity datasets by Bo Pang and
Lillian Lee (CC BY 4.0).
"""

import gzip
import json
from pathlib import Path
from typing import Final

MODEL: Final = Path(__file__).parent / "model"
"""An ordinary Hugging Face folder: `AutoModelForCausalLM.from_pretrained(MODEL)`."""

PROMPTS: Final = Path(__file__).parent / "prompts.jsonl.gz"
"""JSON lines of `{"prompt": "the film is a", "split": "train" or "eval"}`."""


def prompts(split: str) -> list[str]:
    """First four words of review sentences; the eval ones start no sentence of the train split.

    Raises ValueError if `split` is neither.
    """
    if split not in ("train", "eval"):
        raise ValueError(f"split must be 'train' or 'eval', got {split!r}")
    with gzip.open(PROMPTS, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [row["prompt"] for row in rows if row["split"] == split]
