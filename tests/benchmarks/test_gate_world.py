"""The world of the gate's benchmark: which attribute labels a pair, and what is left out."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefloop.types import Prompt, Response

ROOT = Path(__file__).parents[2]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("gate")


def world(benchmark: Any, **changes: Any) -> Any:
    """Of either kind one prompt, whose first and third samples are kindest and shortest by far."""
    texts = [f" {name}" for name in "abcdefgh"]
    rows = [Response(prompt=Prompt(text=f"q{i // 4}"), text=text) for i, text in enumerate(texts)]
    sign = np.tile([1.0, -1.0], 4)
    other = np.arange(8.0)
    rated = np.stack([sign, other, other, -sign], axis=1)
    found = {"rows": rows, "rated": rated, "kind": [True, False], **changes}
    return benchmark.World(**found)


def test_a_label_is_drawn_by_the_attribute_of_its_prompts_kind(
    benchmark: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "SHARPNESS", 100.0)
    pairs = benchmark.labelled(world(benchmark), [0, 1], seed=0)
    assert [(row["prompt"], row["response_a"], row["label"]) for row in pairs] == [
        ("q0", " a", "a"),
        ("q0", " c", "a"),
        ("q1", " e", "b"),
        ("q1", " g", "b"),
    ]


def test_what_says_nothing_or_the_same_is_no_pair_and_is_not_rated(benchmark: Any) -> None:
    rows = [*world(benchmark).rows]
    rows[1] = Response(prompt=rows[1].prompt, text=" ")
    rows[5] = Response(prompt=rows[5].prompt, text=rows[4].text)
    same = world(benchmark, rows=rows, rated=np.random.default_rng(0).normal(size=(8, 4)))
    assert len(benchmark.ratings(same, [0, 1])) == 7
    pairs = benchmark.labelled(same, [0, 1], seed=0)
    assert [(row["response_a"], row["response_b"]) for row in pairs] == [(" a", " c"), (" g", " h")]
