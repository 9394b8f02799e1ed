"""What a run folder holds, so that two of them can be compared."""

import json
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

TABLES = {
    "prompts": "key, id, text, messages, tokens, template, meta",
    "responses": "id, prompt, place, text, tokens, logp, logp_sampling, source, policy_version",
    "queries": "id, round, place, prompt, a, b",
    "answers": "query, p, missing, raw, cost, oracle",
    "logps": "response, model, value",
    "scores": "response, scorer, value",
    "stages": "round, stage",
    "draws": "round, purpose, chunk, policy_version, settings, seed",
}
MEASURED = ("seconds", "memory")
"""how the metrics begin that no two runs have in common"""


def ledger(folder: Path) -> dict[str, list[Any]]:
    """Every row of every table, in an order of its own, without times and row numbers."""
    uri = f"{(folder / 'ledger.sqlite').absolute().as_uri()}?mode=ro"
    with sqlite3.connect(uri, uri=True) as db:
        found = {
            table: sorted(db.execute(f"SELECT {columns} FROM {table}"), key=repr)
            for table, columns in TABLES.items()
        }
    db.close()
    return found


def weights(folder: Path) -> dict[str, np.ndarray]:
    """Every tensor of the policy, of the best one and of every checkpoint, moments and all."""
    return {
        f"{file.relative_to(folder)}/{name}": tensor
        for file in sorted(folder.rglob("*.safetensors"))
        for name, tensor in load_file(file).items()
    }


def metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl, without what depends on the clock and the machine."""
    rows = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in row.items() if not k.startswith(MEASURED)} for row in rows]


def same(folder: Path, other: Path) -> None:
    """AssertionError unless both runs drew, asked, learned and found the same, bit for bit."""
    one, two = ledger(folder), ledger(other)
    for table in TABLES:
        assert one[table] == two[table], f"{table} differ"
    mine, theirs = weights(folder), weights(other)
    assert mine.keys() == theirs.keys()
    for name, tensor in mine.items():
        assert tensor.tobytes() == theirs[name].tobytes(), f"{name} differs"
    assert metrics(folder) == metrics(other)


def twice(names: list[str]) -> dict[str, int]:
    """Those that occur more than once, with how often."""
    return {name: n for name, n in Counter(names).items() if n > 1}
