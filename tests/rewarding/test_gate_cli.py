"""`prefloop reward gate`, end to end: on features and on a small model, and what it refuses."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from test_reward_cli import FAST, invoke, written

import small
from prefloop import plugins
from prefloop.oracles import _attributes
from prefloop.oracles._errors import OracleError
from prefloop.oracles.gated import Gated
from prefloop.rewarding.parts import of_folder
from prefloop.types import Missing, Prompt, Response

LEARN = ("gate.steps=150", "gate.lr=0.01", "gate.hidden=16", "gate.holdout=0.3")
GOOD, FUNNY = (" wonderful", " dreadful"), (" comedy", " thriller")
KINDS = {"the film is a": 0, "a movie with a": 1}
"""prompts that begin so want something good, or something funny"""
PROMPTS = [
    (f"{start} {thing} {word}", kind)
    for (start, kind), thing, word in product(KINDS.items(), small.THINGS, ("and", "but", "of"))
]


def ratings() -> list[dict]:
    return [
        {"prompt": prompt, "completion": a + b, "values": [float(i == 0), float(j == 0), 1.0]}
        for prompt, _ in PROMPTS
        for (i, a), (j, b) in product(enumerate(GOOD), enumerate(FUNNY))
    ]


def preferences() -> list[dict]:
    """Good and serious, or bad and funny: which of them depends on the prompt alone."""
    (good, bad), (funny, serious) = GOOD, FUNNY
    return [
        {"prompt": prompt, "a": good + serious, "b": bad + funny, "p": 1.0 - kind}
        for prompt, kind in PROMPTS
    ]


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """Files, and attributes on features and on a small model."""
    folder = tmp_path_factory.mktemp("gate")
    small.llama(folder / "lm")
    pairs = preferences()
    written(folder / "pairs.jsonl", pairs)
    path = written(folder / "ratings.jsonl", ratings())
    words = ("train", "--from", path, "reward.loss=regression", "reward.heads=3", "--backbone")
    invoke(*words, "lsa", "--out", str(folder / "features"))
    invoke(*words, str(folder / "lm"), "--out", str(folder / "model"), "reward.lr=0.01", *FAST)
    return folder


def gated(desk: Path, kind: str, out: Path, *words: str, code: int = 0) -> str:
    base = (str(desk / kind), "--on", str(desk / "pairs.jsonl"), "--out", str(out))
    return invoke("gate", *base, "model.device=cpu", *words, code=code)


def test_on_features_it_is_right_where_no_fixed_weights_can_be(desk, tmp_path):
    """All pairs are alike but for the prompt: any fixed weights are right for one kind only."""
    said = gated(desk, "features", tmp_path / "g", *LEARN)
    report = json.loads((tmp_path / "g" / "training.json").read_text())
    assert report["held_out"]["accuracy"]["value"] == 1.0
    beside = report["held_out_beside"]
    assert max(beside[name]["value"] for name in ("uniform", "best")) < 1
    for row in (
        "all attributes alike",
        "the gate",
        f"attribute {beside['best']['attribute']} alone",
    ):
        assert row in said
    assert of_folder(tmp_path / "g") == ("gated", {"path": str(tmp_path / "g")})
    assert "1.000" in invoke(
        "evaluate", str(tmp_path / "g"), "--on", str(desk / "pairs.jsonl"), "--device", "cpu"
    )
    assert {file.suffix for file in (tmp_path / "g").iterdir()} == {".json", ".safetensors"}


def test_on_a_model_it_reads_the_state_before_a_response_begins(desk, tmp_path):
    gated(desk, "model", tmp_path / "g", *LEARN)
    heads = _attributes.read(tmp_path / "g", device="cpu")
    prompts = [Prompt(text=text) for text, _ in PROMPTS]
    responses = [heads.model.reader(Response(prompt=p, text=" comedy")) for p in prompts]
    first = np.cumsum([0, *[len(r.tokens) for r in responses]])[:-1]
    states = heads.model.predictors(responses)[first].detach().numpy()
    np.testing.assert_allclose(heads.of_prompts(prompts), states, atol=1e-5)
    report = json.loads((tmp_path / "g" / "training.json").read_text())
    assert report["held_out"]["pairs"] == report["prompts_held_out"] > 5


def test_what_is_taken_off_is_reported_attribute_by_attribute(desk, tmp_path):
    said = gated(desk, "features", tmp_path / "g", "gate.steps=1", "--verbosity", "2")
    found = json.loads((tmp_path / "g" / "training.json").read_text())["attributes"]
    assert all(abs(one["after"]) <= 0.03 for one in found)
    assert found[2]["penalty"] == 1 and found[2]["before"] == pytest.approx(1)
    assert sum(one["weight"] for one in found) == pytest.approx(1)
    assert "Spearman with verbosity" in said
    kept = load_file(tmp_path / "g" / "gate.safetensors")["penalty"]
    np.testing.assert_allclose(kept, [one["penalty"] for one in found], rtol=1e-6)


def test_it_is_a_scorer_like_any_other_and_says_what_does_not_fit(desk, tmp_path):
    gated(desk, "model", tmp_path / "g", *LEARN)
    scorer = plugins.build("oracles", "gated", {"path": str(tmp_path / "g"), "device": "cpu"})
    fits, long = (Response(prompt=Prompt(text="x"), text=" y" * n) for n in (1, 60))
    value, missing = scorer.score([fits, long])
    assert isinstance(value, float) and isinstance(missing, Missing)
    assert "fit" in missing.reason
    (end,) = Gated(path=str(tmp_path / "g"), overflow="keep_end").score(
        [Response(prompt=Prompt(text="x" * 90), text=" y")]
    )
    assert isinstance(end, float)


def test_training_twice_gives_the_same_gate_and_another_seed_another(desk, tmp_path):
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        gated(desk, "features", tmp_path / name, "gate.steps=3", f"seed={seed}")
    one, two, three = (
        (tmp_path / name / "gate.safetensors").read_bytes() for name in ("one", "two", "three")
    )
    assert one == two != three


def test_what_is_there_is_never_overwritten_and_a_stopped_one_leaves_nothing(
    desk, tmp_path, monkeypatch
):
    assert "is there already" in gated(desk, "features", desk / "model", code=2)
    from prefloop.models.gate import Mixture

    monkeypatch.setattr(Mixture, "save", lambda *_: 1 / 0)
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        gated(desk, "features", tmp_path / "g", "gate.steps=1")
    assert not (tmp_path / "g").exists()
    monkeypatch.undo()
    gated(desk, "features", tmp_path / "g", "gate.steps=1")
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--verbosity", "3"), "verbosity must be an attribute's index, 0 to 2, got 3; count from"),
        (("gate.steps=0",), "gate.steps: Input should be greater than or equal to 1, got 0"),
        (("reward.lr=1",), "reward.lr has no part in this; settings are gate.steps"),
    ],
)
def test_settings_that_cannot_be_are_refused(words, said, desk, tmp_path):
    assert said in gated(desk, "features", tmp_path / "g", *words, code=2)


def test_a_gate_needs_several_attributes_and_a_label_that_decides(desk, tmp_path):
    pairs, out = str(desk / "pairs.jsonl"), ("--out", str(tmp_path / "g"))
    invoke("train", "--from", pairs, "--backbone", "lsa", "--out", str(tmp_path / "one"))
    said = invoke("gate", str(tmp_path / "one"), "--on", pairs, *out, code=2)
    assert "a gate needs at least 2 attributes to weigh" in said and "has 1; train it" in said
    ties = written(tmp_path / "ties.jsonl", [{**row, "p": 0.5} for row in preferences()])
    said = invoke("gate", str(desk / "features"), "--on", ties, *out, code=2)
    assert "rows to learn from says what is better: all are ties" in said
    gated(desk, "features", tmp_path / "g", "gate.steps=1")
    said = invoke("gate", str(tmp_path / "g"), "--on", pairs, "--out", str(tmp_path / "h"), code=2)
    assert "holds a gate already; give a folder that prefloop reward train wrote" in said


def test_verbosity_that_never_varies_is_refused(desk, tmp_path):
    weight = load_file(desk / "features" / "head.safetensors")["weight"]
    weight[2] = 0
    for name in ("head.json", "training.json"):
        (tmp_path / name).write_bytes((desk / "features" / name).read_bytes())
    save_file({"weight": weight}, tmp_path / "head.safetensors")
    said = invoke(
        *("gate", str(tmp_path), "--on", str(desk / "pairs.jsonl"), "--verbosity", "2"),
        *("--out", str(tmp_path / "g")),
        code=2,
    )
    assert "attribute 2 says 0 of all" in said and "so none is more verbose than another" in said


def test_a_gate_of_other_heads_or_none_is_refused(desk, tmp_path):
    gated(desk, "features", tmp_path / "g", "gate.steps=1")
    save_file({"weight": np.ones((2, 192))}, tmp_path / "g" / "head.safetensors")
    with pytest.raises(OracleError, match="weighs 3 attributes by 192 numbers a prompt, and the"):
        Gated(path=str(tmp_path / "g"))
    with pytest.raises(OracleError, match="holds no gate that can be read"):
        Gated(path=str(desk / "features"))
    with pytest.raises(ValueError, match="leave max_tokens and overflow out"):
        gated(desk, "features", tmp_path / "h", "gate.steps=1")
        Gated(path=str(tmp_path / "h"), max_tokens=8)
