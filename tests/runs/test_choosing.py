"""Two of a prompt's candidates become a question only where they differ."""

from pathlib import Path
from typing import Any

import pytest

import small
from prefloop.config import ConfigError
from prefloop.store.ledger import Ledger

ONE = {"rounds": 1, "learn.epochs": 1}
SURE: dict[str, Any] = {"sample.top_p": 1e-6}
"""sampling that always takes the likeliest token: every candidate says the same"""


def test_candidates_that_all_say_the_same_are_an_error(model: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"all candidates of round 1 are identical.*temperature"):
        small.small_run(model, tmp_path / "run", {**ONE, **SURE})


def test_a_reference_that_repeats_the_policy_is_no_question_and_no_error(
    model: str, tmp_path: Path
) -> None:
    settings = {
        "explore.rule": "policy_vs_reference",
        "sample.sources": {"policy": 2, "reference": 1},
        "sample.max_new_tokens": 1,
        "sample.top_p": 0.3,
    }
    small.small_run(model, tmp_path / "run", {**ONE, **settings})
    ledger = Ledger.open(tmp_path / "run" / "ledger.sqlite")
    drawn, asked = ledger.responses(1, "train"), ledger.queries(1)
    ledger.close()
    by_prompt: dict[str, list[Any]] = {}
    for response in drawn:
        by_prompt.setdefault(response.prompt.id, []).append(response)
    repeats = [r for r in by_prompt.values() if r[0].text == r[2].text]
    assert repeats, "the world is too varied to show the trap"
    assert len(asked) == len(by_prompt) - len(repeats)
    assert all((q.a.source, q.b.source) == ("policy", "reference") for q in asked)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sample.sources": {"policy": 1}}, r"at least 2 to compare"),
        ({"sample.sources": {"policy": 0, "reference": 2}}, r"sources.policy: .*greater than"),
        ({"explore.rule": "policy_vs_reference"}, r"compares the two, got sample.sources"),
    ],
)
def test_sources_that_cannot_be_compared_are_refused_before_anything_is_drawn(
    model: str, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        small.small_run(model, tmp_path / "run", {**ONE, **settings})
    assert not (tmp_path / "run").exists()
