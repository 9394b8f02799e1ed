"""`prefloop reward train` and `evaluate`, end to end, on files and folders small enough to make."""

import json
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from typer.testing import CliRunner

import small
import tiny
from prefloop.cli import app
from prefloop.oracles.reward_model import RewardModel
from prefloop.rewarding.rows import comparisons, read
from prefloop.rewarding.train import says_something, split
from prefloop.types import Prompt, Ranking, Rating, Response

LETTERS = "abcdefgh"
FAST = ("model.device=cpu", "model.threads=1", "reward.precision=float32")


def pairs(count: int = 120) -> list[dict[str, Any]]:
    """Whoever says "good" wins; the texts differ in nothing else."""
    draw = np.random.default_rng(0)
    texts = ["".join(draw.choice([*LETTERS], size=4)) for _ in range(count)]
    return [
        {
            "prompt": f"q{i}",
            "chosen": f" {x} good",
            "rejected": f" {x} dull",
            "subset": f"x/{i % 2}",
        }
        for i, x in enumerate(texts)
    ]


def written(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def invoke(*words: str, code: int = 0) -> str:
    found = CliRunner().invoke(app, ["reward", *words])
    assert found.exit_code == code, f"{found.output}\n{found.exception!r}"
    return " ".join(found.output.split())


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reward")
    small.llama(folder / "lm")
    written(folder / "pairs.jsonl", pairs())
    return folder


@pytest.fixture(scope="module")
def trained(desk):
    """A reward model that has learned to look for "good"."""
    words = ("train", "--from", str(desk / "pairs.jsonl"), "--backbone", str(desk / "lm"))
    learn = ("reward.lr=0.01", "reward.epochs=4", "reward.batch=16", "reward.holdout=0.3")
    said = invoke(*words, "--out", str(desk / "rm"), *learn, *FAST)
    return desk / "rm", said


def test_what_is_easy_is_learned_and_measured_on_prompts_left_out(trained):
    folder, said = trained
    report = json.loads((folder / "training.json").read_text())
    assert report["held_out"]["accuracy"]["value"] == 1.0
    assert report["prompts"] + report["prompts_held_out"] == 120
    assert report["held_out"]["prompts"] == report["prompts_held_out"] > 20
    assert "accuracy" in said and "1.000" in said


def test_it_is_an_ordinary_classifier_whose_scores_are_centred_where_it_learned(trained, desk):
    folder, _ = trained
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    assert model.config.num_labels == 1
    fitted, _ = split(read(str(desk / "pairs.jsonl")), 0.3, 0)
    scores = [
        s
        for row in comparisons(fitted)
        for s in RewardModel(path=str(folder), device="cpu").score([row.query.a, row.query.b])
    ]
    assert np.mean(scores) == pytest.approx(0, abs=1e-3)
    assert np.std(scores) == pytest.approx(1, abs=1e-3)


def test_training_twice_gives_the_same_weights_and_another_seed_others(desk, tmp_path):
    words = ("train", "--from", str(desk / "pairs.jsonl"), "--backbone", str(desk / "lm"))
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        invoke(*words, "--out", str(tmp_path / name), *FAST, f"seed={seed}", "data.limit=40")
    one, two, three = (
        (tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two", "three")
    )
    assert one == two != three


def test_what_is_there_is_never_overwritten_and_a_stopped_one_leaves_nothing(
    trained, desk, tmp_path, monkeypatch
):
    words = ("train", "--from", str(desk / "pairs.jsonl"), "--backbone", str(desk / "lm"))
    assert "is there already" in invoke(*words, "--out", str(trained[0]), code=2)
    from prefloop.rewarding import train

    monkeypatch.setattr(train, "_measured", lambda *_: 1 / 0)
    found = CliRunner().invoke(app, ["reward", *words, "--out", str(tmp_path / "rm"), *FAST])
    assert isinstance(found.exception, ZeroDivisionError)
    assert not (tmp_path / "rm").exists()
    monkeypatch.undo()
    invoke(*words, "--out", str(tmp_path / "rm"), *FAST, "data.limit=20")
    assert not list(tmp_path.glob("*.part"))


def test_evaluating_writes_numbers_and_drawings(trained, desk, tmp_path):
    said = invoke(
        *("evaluate", str(trained[0]), "--on", str(desk / "pairs.jsonl"), "--sections"),
        *("--annotators", "--device", "cpu", "--out", str(tmp_path / "found")),
    )
    found = json.loads((tmp_path / "found" / "evaluation.json").read_text())
    assert found["accuracy"]["value"] == 1.0 and "By section" in said and "Annotators" in said
    assert found["sections"]["x/0"]["pairs"] == 60
    assert found["sections"]["x"]["pairs"] == 120
    assert found["length"]["few"] == 120  # two responses a prompt: no correlation within
    assert (tmp_path / "found" / "calibration.svg").read_text().startswith("<?xml")
    assert not (tmp_path / "found" / "lengths.svg").exists()


def test_four_responses_a_prompt_have_a_heat_map_and_ties_are_told(desk, tmp_path):
    labels = [{"a": i, "b": j, "label": "a"} for i in range(4) for j in range(i + 1, 4)]
    labels[0]["label"] = "tie"
    texts = [" aeiou", " aei", " aoxxxxx", " x"]
    rows = [{"prompt": f"q{i}", "responses": texts, "pairs": labels} for i in range(5)]
    path, out = written(tmp_path / "four.jsonl", rows), tmp_path / "found"
    invoke("evaluate", "small:Share", "--on", path, "--annotators", "--out", str(out))
    found = json.loads((out / "evaluation.json").read_text())
    assert found["annotators"]["ties"] == 5 and found["ties"] == pytest.approx(1 / 6)
    assert found["accuracy"]["value"] == 1.0
    assert found["annotators"]["circles"] == {"violations": 0, "triples": 10}
    assert (out / "lengths.svg").exists()


def test_a_pair_model_learns_to_say_which(desk, tmp_path):
    """Its folder is a language model's, and the oracle of that name reads it."""
    said = invoke(
        *("train", "--kind", "pair", "--from", str(desk / "pairs.jsonl"), "--backbone"),
        *(roomy(tmp_path / "roomy"), "--out", str(tmp_path / "pm"), "reward.lr=0.01"),
        *("reward.epochs=12", "reward.batch=16", "reward.holdout=0.3", *FAST),
    )
    report = json.loads((tmp_path / "pm" / "training.json").read_text())
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "pm")
    assert report["loss"][0] > 2 * report["loss"][-1]
    assert report["held_out"]["position_bias"] is not None and "position bias" in said
    evaluated = invoke(
        "evaluate", str(tmp_path / "pm"), "--on", str(desk / "pairs.jsonl"), "--device", "cpu"
    )
    assert "position bias" in evaluated


def roomy(folder: Path) -> str:
    """A model that can read both responses of a pair."""
    tiny.language_model(folder, max_position_embeddings=256, hidden_size=32, initializer_range=0.2)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.model_max_length = 256
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_a_head_on_features_is_trained_without_a_model(tmp_path):
    rows = [
        {"prompt": "the film is", "chosen": f" {x} wonderful", "rejected": f" {x} dreadful"}
        for x in ("a", "so", "just", "really", "quite")
    ]
    kept = [{**row, "prompt": f"the {thing} is"} for row in rows for thing in small.THINGS]
    path = written(tmp_path / "pairs.jsonl", kept)
    invoke(
        "train",
        "--from",
        path,
        "--backbone",
        "lsa",
        "--out",
        str(tmp_path / "h"),
        "reward.holdout=0.4",
    )
    report = json.loads((tmp_path / "h" / "training.json").read_text())
    assert report["held_out"]["accuracy"]["value"] == 1.0
    assert str(report["ridge"]) in report["nll_by_ridge"]
    said = invoke("evaluate", str(tmp_path / "h"), "--on", path)
    assert "1.000" in said


def test_a_runs_answers_are_learned_from_and_measured_against_kl(desk, tmp_path):
    small.small_run(str(desk / "lm"), tmp_path / "run")
    run, out = str(tmp_path / "run"), str(tmp_path / "rm")
    invoke("train", "--from", run, "--backbone", str(desk / "lm"), "--out", out, *FAST)
    invoke("evaluate", out, "--on", run, "--device", "cpu", "--out", str(tmp_path / "found"))
    found = json.loads((tmp_path / "found" / "evaluation.json").read_text())
    metrics = [json.loads(x) for x in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert found["by_kl"]["kl"] == [0.0, max(0.0, metrics[1]["kl"])]
    assert found["pairs"] == metrics[-1]["labels_total"]


def test_rankings_and_ratings_are_for_losses_that_want_them(desk, tmp_path):
    ranked = [
        {"prompt": f"q{i}", "responses": [" good", " so", " dull"], "ranks": [1, 2, 3]}
        for i in range(20)
    ]
    rated = [
        {"prompt": f"q{i}", "completion": text, "values": values}
        for i in range(20)
        for text, values in ((" good", [4, None]), (" dull", [0, 1]))
    ]
    base = ("--backbone", str(desk / "lm"), *FAST, "reward.holdout=0.4", "reward.lr=0.01")
    lists, points = written(tmp_path / "l.jsonl", ranked), written(tmp_path / "p.jsonl", rated)
    said = invoke("train", "--from", lists, *base, "--out", str(tmp_path / "0"), code=2)
    assert "bradley_terry learns from a preference, and the data hold a ranking" in said
    fit = ("reward.epochs=10", "reward.batch=4")
    invoke(
        *("train", "--from", lists, *base, *fit),
        "reward.loss=plackett_luce",
        "--out",
        str(tmp_path / "1"),
    )
    invoke(
        *("train", "--from", points, *base, *fit),
        "reward.loss=regression",
        "reward.heads=2",
        "--out",
        str(tmp_path / "2"),
    )
    for name in "12":
        report = json.loads((tmp_path / name / "training.json").read_text())
        assert report["held_out"]["accuracy"]["value"] == 1.0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("learn.lr=1",), "learn.lr has no part in this"),
        (("reward.views=uml",), "reward.views has no part in this kind"),
        (("--kind", "pair", "reward.heads=2"), "reward.heads has no part in this kind"),
        (("--kind", "pair", "--backbone", "lsa"), "a pair model reads two"),
        (("reward.loss=odin",), "set reward.heads=2 and reward.aggregate=first"),
        (("reward.path=x",), "the backbone is named by --backbone"),
        (("--kind", "both"), "kind must be scores or pair, got 'both'"),
    ],
)
def test_settings_that_would_be_ignored_are_refused(words, said, desk, tmp_path):
    base = ("train", "--from", str(desk / "pairs.jsonl"), "--out", str(tmp_path / "rm"))
    assert said in invoke(*base, *words, code=2)


def test_ratings_and_ranks_on_one_side_say_nothing():
    prompt = Prompt(text="q", tokens=(5,))
    responses = tuple(Response(prompt=prompt, text=t, tokens=(5,), id=t) for t in "ab")
    rated = lambda *rows: [
        Rating(response=responses[0], values=values, id=str(i)) for i, values in enumerate(rows)
    ]
    ranked = lambda *ranks: [Ranking(responses=responses, ranks=ranks, id="l")]
    assert not says_something(rated((1.0, nan), (1.0, 2.0), (1.0, nan)))
    assert says_something(rated((1.0, nan), (1.0, 2.0), (1.0, 3.0)))
    assert not says_something(ranked(1.0, 1.0))
    assert says_something(ranked(1.0, 2.0))
    assert not says_something([])


def test_labels_that_say_nothing_are_refused(desk, tmp_path):
    ties = [{"prompt": f"q{i}", "a": " x", "b": " y", "p": 0.5} for i in range(9)]
    path = written(tmp_path / "ties.jsonl", ties)
    base = ("train", "--from", path, "--backbone", str(desk / "lm"), "--out", str(tmp_path / "rm"))
    assert "none of 9 rows to learn from says what is better" in invoke(
        *base, "reward.holdout=0", code=2
    )
    assert "all 9 labels are ties" in invoke("evaluate", "vader", "--on", path, code=2)
    empty = written(tmp_path / "none.jsonl", [])
    assert "nothing labelled" in invoke("evaluate", "vader", "--on", empty, code=2)
    some = written(tmp_path / "some.jsonl", [{"prompt": "q", "a": " x", "b": " y", "p": 1}])
    assert "no column subset" in invoke("evaluate", "vader", "--on", some, "--sections", code=2)


def test_a_folder_that_is_no_reward_model_is_refused(tmp_path, desk):
    assert "is no reward model" in invoke(
        "evaluate", str(tmp_path), "--on", str(desk / "pairs.jsonl"), code=2
    )


def test_a_response_to_a_prompt_is_the_same_in_all_its_pairs(tmp_path):
    labels = [
        {"a": 0, "b": 1, "label": "a"},
        {"a": 0, "b": 2, "label": "b"},
        {"a": 1, "b": 2, "label": "tie"},
    ]
    rows = [{"prompt": "q", "responses": [" x", " y", " x"], "pairs": labels}]
    found = comparisons(read(written(tmp_path / "r.jsonl", rows)))
    assert [(f.query.a.text, f.query.b.text, f.p) for f in found] == [
        (" x", " y", 1.0),
        (" y", " x", 0.5),
    ]
    assert found[0].query.a.id == found[1].query.b.id


def test_what_a_length_limit_cut_off_gets_no_end(desk):
    from prefloop.config import Config
    from prefloop.models.reward import RewardModel as Trainable
    from prefloop.rewarding.scores import encoded
    from prefloop.types import Preference, Query

    prompt = Prompt(text="q")
    whole, cut = (Response(prompt=prompt, text=" x", id=n, finished=n == "w") for n in "wc")
    config = Config().override({"model.path": str(desk / "lm"), "model.device": "cpu"})
    model = Trainable.load(str(desk / "lm"), settings=config.model, fresh=1)
    row = Preference(query=Query(prompt=prompt, a=whole, b=cut, id="0"), p=1.0)
    (found,), _ = encoded([row], model, config)
    assert found.query.a.tokens == (*found.query.b.tokens, model.loaded.tokenizer.eos_token_id)
    assert torch.isfinite(model.scores([found.query.a, found.query.b])).all()


def test_what_is_trained_is_kept_where_it_cannot_be_measured(desk, tmp_path, caplog):
    """The pairs fit the model's 64 positions; its tokenizer says that nothing over 8 does."""
    tokenizer = AutoTokenizer.from_pretrained(desk / "lm")
    AutoModelForCausalLM.from_pretrained(desk / "lm").save_pretrained(tmp_path / "lm")
    tokenizer.model_max_length = 8
    tokenizer.save_pretrained(tmp_path / "lm")
    words = ("train", "--from", str(desk / "pairs.jsonl"), "--backbone", str(tmp_path / "lm"))
    said = invoke(*words, "--out", str(tmp_path / "rm"), *FAST, "data.limit=40")
    assert (tmp_path / "rm" / "model.safetensors").exists() and "accuracy" not in said
    assert "not measured: none of" in caplog.text
    said = invoke(
        *words, "--out", str(tmp_path / "2"), *FAST, "data.limit=40", "model.max_tokens=64"
    )
    assert "accuracy" in said
