"""From Python: lists, datasets, functions and objects in the place of files and names."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

import accounts
import prefloop
import small
from prefloop.runs import Given
from prefloop.types import Query, Response

ONE = {key: small.SETTINGS[key] for key in small.SETTINGS} | {"rounds": 1, "learn.epochs": 1}
PAIRS = [{"prompt": p, "chosen": " yes", "rejected": " no"} for p in small.PROMPTS]


def longer(queries: Sequence[Query]) -> list[float]:
    """An oracle that likes many tokens."""
    return [1.0 if len(q.a.tokens) >= len(q.b.tokens) else 0.0 for q in queries]


def length(responses: Sequence[Response]) -> list[float]:
    """A scorer that does."""
    return [float(len(r.tokens)) for r in responses]


def test_functions_are_oracle_scorer_and_gold(model: str, tmp_path: Path) -> None:
    found = prefloop.run(
        "online_dpo",
        tmp_path / "run",
        {**ONE, "model.path": model},
        data=Given(prompts=small.PROMPTS, eval_prompts=small.HELD),
        oracle=longer,
        scorer=length,
        gold=length,
    )
    assert found.status == "finished"
    assert found.metrics[-1]["gold_reward_mean"] == found.metrics[-1]["response_length_mean"]
    book = accounts.ledger(found.folder)
    assert {row[1] for row in book["answers"]} <= {0.0, 1.0}
    assert {row[5] for row in book["answers"]} == {"test_given:longer"}


@pytest.mark.parametrize("kind", ["list", "dataset"])
def test_rows_may_be_a_list_or_a_dataset(kind: str, model: str, tmp_path: Path) -> None:
    make: Any = Dataset.from_list if kind == "dataset" else list
    found = prefloop.run(
        "dpo",
        tmp_path / "run",
        {**ONE, "model.path": model, "sample.sources": {"dataset": 2}, "explore.rule": "on_policy"},
        data=Given(preferences=make(PAIRS), eval_prompts=small.HELD),
    )
    assert found.metrics[-1]["labels_total"] == found.metrics[-1]["rows"] == len(PAIRS)


def test_prompts_may_be_rows_of_a_dataset_and_chats(model: str, tmp_path: Path) -> None:
    chats = [[{"role": "user", "content": p}] for p in small.PROMPTS]
    rows = Dataset.from_list([{"prompt": chat} for chat in chats])
    data = Given(prompts=rows, eval_prompts=small.HELD)
    found = small.small_run(model, tmp_path / "run", {**ONE, "sample.max_new_tokens": 4}, data=data)
    assert found.metrics[-1]["rows"] == 8


def test_a_function_of_a_module_is_an_oracle_by_name(model: str, tmp_path: Path) -> None:
    found = small.small_run(
        model, tmp_path / "run", {**ONE, "ask.oracle": "test_given:longer"}, oracle=None
    )
    assert found.metrics[-1]["labels_total"] == 8


def test_a_run_names_its_policy(undisturbed: Path) -> None:
    result = prefloop.Result(folder=undisturbed, status="finished", metrics=())
    assert (result.policy / "config.json").exists()
