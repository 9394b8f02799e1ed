"""A tiny model with prompts, an oracle and a gold scorer, as settings of a comparison."""

import json
from pathlib import Path
from typing import Any

import pytest

import small

FREE_TO_CHOOSE = ("rounds", "sample.prompts", "sample.sources", "explore.rule", "learn.lr")


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings of a run of a second, for every method alike."""
    place = tmp_path_factory.mktemp("compare")
    for name, prompts in (("prompts", small.PROMPTS), ("held", small.HELD)):
        rows = "".join(json.dumps({"prompt": p}) + "\n" for p in prompts)
        Path(place / f"{name}.jsonl").write_text(rows)
    plain = {k: v for k, v in small.SETTINGS.items() if k not in FREE_TO_CHOOSE}
    likes = {"name": "small:Share", "letters": "aeiou"}
    return plain | {
        "model.path": small.llama(place / "llama"),
        "data.prompts": str(place / "prompts.jsonl"),
        "data.eval_prompts": str(place / "held.jsonl"),
        "sample.prompts": 4,
        "ask.oracle": {"name": "bradley_terry", "scorer": likes, "scale": 20.0},
        "explore.scorer": likes,
        "measure.gold": likes,
        "learn.lr": 1e-2,
        "checkpoint.keep": 2,
    }
