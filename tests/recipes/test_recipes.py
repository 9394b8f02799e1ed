"""Every recipe improves what it is meant to improve."""

from collections.abc import Sequence
from math import log
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import accounts
import small
from prefloop.config import parse
from prefloop.plugins import names
from prefloop.recipes.online_dpo import online_dpo
from prefloop.runs import Given, run
from prefloop.runs.open import phases_of
from prefloop.types import Query

GOOD, BAD = " seen", " grim"
PREFERENCES = [{"prompt": p, "chosen": GOOD, "rejected": BAD} for p in small.PROMPTS]
HELD_PREFERENCES = [{"prompt": p, "chosen": GOOD, "rejected": BAD} for p in small.HELD]
COMPLETIONS = [{"prompt": p, "completion": GOOD} for p in small.PROMPTS]
PLAIN = {
    key: small.SETTINGS[key]
    for key in small.SETTINGS
    if key.split(".")[0] in ("model", "measure", "checkpoint") or key.startswith("learn.")
} | {"sample.max_new_tokens": 6, "sample.precision": "float32"}


def likes_e(queries: Sequence[Query]) -> list[float]:
    """An oracle for which every "e" counts."""
    gaps = [q.a.text.count("e") - q.b.text.count("e") for q in queries]
    return [1.0 if gap > 0 else 0.0 if gap < 0 else 0.5 for gap in gaps]


def nll(folder: Path | str, answer: str = GOOD) -> float:
    """Mean negative log-likelihood, in nats, of the answer to each of the held-out prompts."""
    policy = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    total = 0.0
    for prompt in small.HELD:
        start, ids = (tokenizer(text, return_tensors="pt").input_ids for text in (prompt, answer))
        with torch.no_grad():
            logps = policy(torch.cat([start, ids], 1)).logits[0, start.shape[1] - 1 : -1]
        total -= float(logps.log_softmax(-1).gather(1, ids[0, :, None]).sum())
    return total / len(small.HELD)


def test_sft_makes_the_given_responses_likely(model: str, tmp_path: Path) -> None:
    found = run(
        "sft",
        tmp_path / "run",
        {**PLAIN, "model.path": model, "learn.epochs": 20},
        data=Given(completions=COMPLETIONS, eval_prompts=small.HELD),
    )
    line = found.metrics[-1]
    assert line["loss"] < line["loss_first"]
    assert line["labels_total"] == line["tokens_generated"] == 0
    assert nll(found.policy) < 0.5 * nll(model)


def test_dpo_prefers_what_the_file_prefers(model: str, tmp_path: Path) -> None:
    rows = PREFERENCES + HELD_PREFERENCES
    found = run(
        "dpo",
        tmp_path / "run",
        {**PLAIN, "model.path": model, "learn.epochs": 10},
        data=Given(preferences=rows, eval_prompts=small.HELD),
    )
    line = found.metrics[-1]
    assert line["loss_first"] == pytest.approx(log(2), abs=1e-5)
    assert line["loss"] < log(2)
    assert line["accuracy"] > 0.8
    assert line["eval_accuracy"] == 1.0, "on pairs of prompts that it was not trained on"
    assert line["rows"] == line["labels_total"] == len(PREFERENCES)
    assert line["tokens_generated"] == 0
    gain = lambda answer: nll(model, answer) - nll(found.policy, answer)
    assert gain(GOOD) > gain(BAD)


@pytest.mark.parametrize("recipe", ["online_dpo", "iterative_dpo"])
def test_asking_makes_what_the_oracle_likes_frequent(
    recipe: str, model: str, tmp_path: Path
) -> None:
    prompts = [f"{a} {b}" for a in small.THINGS for b in ("is", "was", "has", "had")]
    settings = {"rounds": 3, "sample.prompts": 32, "sample.sources": {"policy": 4}}
    found = run(
        recipe,
        tmp_path / "run",
        {**PLAIN, "model.path": model, "measure.prompts": 32, "sample.chunk": 200}
        | {"explore.rule": "best_worst", "learn.epochs": 3, **settings},
        data=Given(prompts=prompts, eval_prompts=[p + " not" for p in prompts]),
        oracle=likes_e,
        scorer=small.Share(letters="e"),
        gold=small.Share(letters="e"),
    )
    before, after = found.metrics[0], found.metrics[-1]
    assert after["gold_reward_mean"] > 3 * before["gold_reward_mean"]
    assert after["win_rate_low"] > 0.5
    assert after["labels_total"] == 96


def test_hybrid_keeps_the_files_labels_and_asks_for_more(model: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    found = small.small_run(
        model,
        folder,
        recipe="hybrid",
        data=Given(prompts=small.PROMPTS, preferences=PREFERENCES, eval_prompts=small.HELD),
    )
    metrics, clerk = found.metrics, small.Clerk(book=folder.with_suffix(".asked"))
    assert [m["phase"] for m in metrics[1:]] == ["offline", "online", "online"]
    assert [m["rows"] for m in metrics[1:]] == [8, 16, 24], "the file's labels stay in the data"
    assert not [name for name in clerk.asked() if name.startswith("r1.")]
    given = [row for row in accounts.ledger(folder)["answers"] if row[0].startswith("r1.")]
    assert {(row[1], row[5]) for row in given} == {(1.0, "recorded")}
    assert metrics[1]["loss_first"] == pytest.approx(log(2), abs=1e-5)


def test_hybrid_ends_as_if_it_had_not_been_killed(model: str, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert small.elsewhere(hybrid, model, whole) == 0
    point = ("prefloop.learn.step:Stepper.step", 5, "after")
    assert small.elsewhere(small.killed_at, *point, hybrid, model, cut) == -9
    assert small.elsewhere(hybrid, model, cut) == 0
    accounts.same(cut, whole)


def hybrid(model: str, folder: Path) -> None:
    """A small hybrid run."""
    data = Given(prompts=small.PROMPTS, preferences=PREFERENCES, eval_prompts=small.HELD)
    small.small_run(model, folder, recipe="hybrid", data=data)


def test_the_testbed_needs_no_setting_at_all(tmp_path: Path) -> None:
    little = {"rounds": 1, "sample.prompts": 4, "sample.max_new_tokens": 8, "model.threads": 1}
    few = {"measure.prompts": 4, "measure.kl_samples": 4, "sample.precision": "float32"}
    with patch("prefloop.runs.summary.write"):
        found = run("online_dpo", tmp_path / "run", {**little, **few})
    before, after = found.metrics
    assert after["labels_total"] == 4
    assert {"gold_reward_mean", "proxy_reward_mean", "gold_positive", "kl"} <= set(after)
    assert set(before["judges"]) == {"vader"}


@pytest.mark.parametrize("recipe", names("recipes"))
class TestEveryRecipe:
    """What holds for all of them."""

    def test_leaves_what_the_user_set(self, recipe: str) -> None:
        mine: dict[str, Any] = {"learn": {"lr": 1.5e-5, "batch": 7}, "sample": {"chunk": 3}}
        for phase in phases_of(parse({"recipe": recipe, "model": {"path": "x"}, **mine})):
            assert (phase.config.learn.lr, phase.config.learn.batch) == (1.5e-5, 7)
            assert phase.config.sample.chunk == 3

    def test_resolves_to_a_config_that_resolves_to_itself(self, recipe: str) -> None:
        """So that a run folder's config.yaml runs the same again."""
        last = phases_of(parse({"recipe": recipe}))[-1].config
        again = phases_of(parse(last.model_dump(mode="json")))[-1].config
        assert again == last

    def test_has_phases_with_names_of_their_own_and_rounds(self, recipe: str) -> None:
        phases = phases_of(parse({"recipe": recipe}))
        assert len({phase.name for phase in phases}) == len(phases)
        assert all(phase.rounds >= 1 for phase in phases)


def test_sources_that_the_user_names_are_all_there_are() -> None:
    (phase,) = online_dpo(parse({"sample": {"sources": {"reference": 2}}, "model": {"path": "x"}}))
    assert phase.config.sample.sources == {"reference": 2}


def test_rounds_are_the_users_to_set() -> None:
    assert [p.rounds for p in online_dpo(parse({"rounds": 5}))] == [5]
