"""`prefloop generate` on tiny models: what is kept is what a plain loop would keep."""

import json
import os
from pathlib import Path
from statistics import fmean
from typing import Any
from unittest.mock import patch

import pytest
from typer.testing import CliRunner, Result

import small
from prefloop.cli import app
from prefloop.config import Part
from prefloop.measure.best_of import kl_bound
from prefloop.oracles._errors import OracleError
from prefloop.runs import generating
from prefloop.runs.generating import Request, generate, read_part
from prefloop.store import importing
from prefloop.store.files import read_rows
from prefloop.types import Missing

VOWELS = """
def vowels(responses):
    return [float(sum(map(r.text.count, "aeiou"))) for r in responses]

def silent(responses):
    return [None for r in responses]
"""
FEW = {"max_new_tokens": 5, "seed": 3}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, prompts, a chat and a scorer."""
    found = tmp_path_factory.mktemp("generating")
    small.llama(found / "model")
    chats = [[{"role": "user", "content": p}] for p in small.PROMPTS]
    for name, prompts in (("prompts", small.PROMPTS), ("chats", chats), ("none", [])):
        rows = "".join(json.dumps({"prompt": p}) + "\n" for p in prompts)
        (found / f"{name}.jsonl").write_text(rows)
    (found / "scorer_of_tests.py").write_text(VOWELS)
    return found


@pytest.fixture
def inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place


def drawn(out: Path, **asked: Any) -> list[dict[str, Any]]:
    """The rows of a request of eight prompts."""
    given = {"model": "model", "prompts": "prompts.jsonl", **FEW, **asked}
    generate(Request(**given), out)
    return list(read_rows(out))


def test_every_prompt_gets_n_responses_in_order(inside: Path, tmp_path: Path) -> None:
    rows = drawn(tmp_path / "a.jsonl", n=3)
    assert [row["prompt"] for row in rows] == [p for p in small.PROMPTS for _ in range(3)]
    assert {1 <= row["tokens"] <= 5 for row in rows} == {True}
    assert all(row["logp"] < 0 for row in rows)
    assert len({row["completion"] for row in rows}) > 12


def test_the_best_of_n_is_the_best_of_those_that_n_gives(inside: Path, tmp_path: Path) -> None:
    """The same seed draws the same four; the scorer keeps the first with the most vowels."""
    every = drawn(tmp_path / "a.jsonl", n=4)
    scorer = Part(name="scorer_of_tests:vowels")
    best = drawn(tmp_path / "b.jsonl", best_of=4, scorer=scorer)
    scored = drawn(tmp_path / "c.jsonl", n=4, scorer=scorer)
    assert len(best) == len(small.PROMPTS)
    for i, row in enumerate(best):
        group = scored[4 * i : 4 * i + 4]
        assert [r["completion"] for r in group] == [
            r["completion"] for r in every[4 * i : 4 * i + 4]
        ]
        top = max(group, key=lambda r: r["score"])
        assert {key: row[key] for key in top} == top
        assert row["score_of_all"] == pytest.approx(fmean(r["score"] for r in group))
        assert row["kl_bound"] == kl_bound(4) and row["best_of"] == 4


def test_n_bests_are_of_draws_of_their_own(inside: Path, tmp_path: Path) -> None:
    scorer = Part(name="scorer_of_tests:vowels")
    six = drawn(tmp_path / "a.jsonl", n=6, scorer=scorer)
    two = drawn(tmp_path / "b.jsonl", n=2, best_of=3, scorer=scorer)
    assert len(two) == 2 * len(small.PROMPTS)
    for i, row in enumerate(two):
        assert row["score"] == max(r["score"] for r in six[3 * i : 3 * i + 3])


@pytest.mark.parametrize("when", [1, 2, 3])
def test_a_stopped_command_goes_on_and_ends_with_the_same_file(
    inside: Path, tmp_path: Path, when: int
) -> None:
    scorer = Part(name="scorer_of_tests:vowels")
    with patch.object(generating, "CHUNK", 6):
        whole = drawn(tmp_path / "a.jsonl", best_of=3, scorer=scorer)
        told = iter(range(when, -1, -1))

        def stop(done: int, total: int) -> None:
            if next(told) == 0:
                raise KeyboardInterrupt

        request = Request(model="model", prompts="prompts.jsonl", best_of=3, scorer=scorer, **FEW)
        with pytest.raises(KeyboardInterrupt):
            generate(request, tmp_path / "b.jsonl", stop)
        assert not (tmp_path / "b.jsonl").exists()
        begun: list[int] = []
        generate(request, tmp_path / "b.jsonl", lambda done, total: begun.append(done))
    assert begun[0] == 2 * when, "what was drawn before is not drawn again"
    assert list(read_rows(tmp_path / "b.jsonl")) == whole


def test_chats_are_answered_as_chats_and_read_back(inside: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    rows = drawn(out, prompts="chats.jsonl")
    assert rows[0]["prompt"] == [{"role": "user", "content": small.PROMPTS[0]}]
    assert rows[0]["completion"][0]["role"] == "assistant"
    back = list(importing.unpaired(r for r in rows if r["completion"][0]["content"].strip()))
    assert back[0].prompt.messages[0]["content"] == small.PROMPTS[0]


def test_a_run_folder_gives_its_last_policy_and_its_law(inside: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = {"sample.top_p": 0.9, "rounds": 1}
    small.small_run("model", run, settings)
    request = Request(model=str(run), prompts="prompts.jsonl", **{**FEW, "max_new_tokens": None})
    assert (request.law.top_p, request.law.max_new_tokens) == (0.9, 6)
    assert request.model_settings.path == str(run / "policy")
    texts = [
        [row["completion"] for row in drawn(tmp_path / f"{i}.jsonl", **asked)]
        for i, asked in enumerate(
            (
                {"model": str(run)},
                {"model": str(run / "policy"), "top_p": 0.9},
                {"top_p": 0.9},
            )
        )
    ]
    assert texts[0] == texts[1] != texts[2]


def test_on_the_testbed_the_best_of_eight_is_kinder(tmp_path: Path) -> None:
    request = Request(
        model="testbed", prompts="testbed", best_of=8, scorer=Part(name="proxy"), limit=8
    )
    assert request.law.top_p == 0.95
    found = generate(request, tmp_path / "a.jsonl")
    assert found.rows == 8 and found.score > found.score_of_all + 0.5
    assert "KL of at most 1.204 nats" in found.said


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"best_of": 4}, "the best of 4 needs someone who says which that is"),
        ({"best_of": 0, "scorer": "proxy"}, "best_of must be at least 1, got 0"),
        ({"n": 0}, "n must be at least 1, got 0"),
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"prompts": "none.jsonl"}, "holds no prompts"),
        ({"prompts": "prompt.jsonl"}, "did you mean prompts.jsonl"),
        ({"model": "nowhere"}, "model.path 'nowhere'"),
        ({"scorer": "both_orders"}, "needs inner"),
        ({"scorer": "{name: noisy, inner: {name: bradley_terry, scorer: proxy}}"}, "has no score"),
        ({"scorer": "scorer_of_tests:colours"}, "cannot load"),
        ({"scorer": "scorer_of_tests:silent"}, "the scorer scored none of 1 responses"),
        ({"scorer": "proxxy"}, "did you mean 'proxy'"),
        ({"scorer": "[proxy]"}, "a part looks like proxy"),
        ({"scorer": "{name: reward_model, path: model}"}, "lacks score.weight"),
        ({"max_new_tokens": 60}, "and 4 fit beside"),
    ],
    ids=lambda x: str(x)[:40],
)
def test_what_cannot_be_is_said_and_leaves_nothing(
    inside: Path, tmp_path: Path, asked: dict[str, Any], says: str
) -> None:
    if "scorer" in asked:
        asked = {**asked}
        typed = asked.pop("scorer")
    else:
        typed = None
    with pytest.raises((ValueError, FileNotFoundError, OracleError), match=says):
        part = read_part(typed) if typed else None
        drawn(tmp_path / "a.jsonl", scorer=part, **asked)
    assert list(tmp_path.iterdir()) == []


def test_responses_that_could_not_be_scored_are_passed_over() -> None:
    known = generating._known([Missing("too long"), 1.0, 2.0])
    assert known == {1: 1.0, 2: 2.0}


def call(*words: str) -> Result:
    return CliRunner().invoke(app, ["generate", *words], env={"COLUMNS": "200"})


def test_the_command_says_what_it_came_to(inside: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "a.jsonl")
    words = ["model", "--prompts", "prompts.jsonl", "--out", out, "--max-new-tokens", "4"]
    best = [*words, "--best-of", "2", "--scorer", "scorer_of_tests:vowels", "--device", "cpu"]
    result = call(*best)
    assert result.exit_code == 0, result.output
    assert "8 responses, mean score" in result.output and "0.193 nats" in result.output
    again = call(*best)
    assert again.exit_code == 2 and "is there already" in again.stderr
    assert os.listdir(tmp_path) == ["a.jsonl"]
    other = call(*words[:-4], "--out", str(tmp_path / "a.csv"))
    assert other.exit_code == 2 and "end it in .jsonl" in other.stderr
