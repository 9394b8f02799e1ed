"""A model of inference is asked both ways, and its labels are known by their names."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

import tiny
from prefloop.clusters._rules import RULES
from prefloop.clusters.entailment import Entailment
from worlds import PROMPT, response

NAMES = ("ENTAILMENT", "neutral", "Contradiction")
MEANS = {"ENTAILMENT": 2, "neutral": 1, "Contradiction": 0}
TEXTS = (" good", " bad", " a much longer one", " fine", " x", "")


def folder(where: Path, names=NAMES) -> str:
    """A random model whose labels are called so."""
    return tiny.reward_model(
        where,
        num_labels=len(names),
        id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
        initializer_range=1.0,
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("nli"))


def by_hand(path: str, texts=TEXTS, names=NAMES) -> np.ndarray:
    """Every label, a pair at a time, with transformers alone; a text entails itself."""
    network = AutoModelForSequenceClassification.from_pretrained(path).eval()
    labels = np.full((len(texts), len(texts)), 2)
    for i, j in product(range(len(texts)), repeat=2):
        if i != j:
            both = [PROMPT.text + texts[i], PROMPT.text + texts[j]]
            ids = [tiny.tokenizer()(text)["input_ids"] for text in both]
            with torch.no_grad():
                logits = network(input_ids=torch.tensor([ids[0] + ids[1]])).logits
            labels[i, j] = MEANS[names[int(logits.argmax())]]
    return labels


@pytest.mark.parametrize("tokens", [1, 100, 8192])
def test_labels_are_those_of_one_pair_at_a_time(model, tokens):
    expected = by_hand(model)
    assert len(np.unique(expected)) == 3 and (expected != expected.T).any(), "a telling example"
    part = Entailment(model=model, tokens=tokens, device="cpu")
    texts = [response(text).full_text for text in TEXTS]
    np.testing.assert_array_equal(part._labels(texts), expected)


@pytest.mark.parametrize("rule", RULES)
def test_clusters_are_the_rules(model, rule):
    found = Entailment(model=model, rule=rule, device="cpu").clusters([*map(response, TEXTS)])
    assert found == RULES[rule](by_hand(model))


def test_a_repeated_text_is_not_asked_about_again(model):
    part = Entailment(model=model, rule="kuhn", device="cpu")
    once = part.clusters([response(text) for text in TEXTS])
    twice = part.clusters([response(text) for text in TEXTS for _ in range(2)])
    assert twice[::2] == twice[1::2] == once


def test_labels_are_known_by_name_wherever_they_stand(tmp_path, model):
    """The same weights; only what their outputs are called differs."""
    names = ("contradiction", "ENTAILMENT", "Neutral")
    other = folder(tmp_path, names)
    means = {0: 2, 1: 1, 2: 0}, {0: 0, 1: 2, 2: 1}
    texts = [response(text).full_text for text in TEXTS]
    first, second = (Entailment(model=m, device="cpu")._labels(texts) for m in (model, other))
    outputs = np.vectorize({v: k for k, v in means[0].items()}.get)(first)
    renamed = np.vectorize(means[1].get)(outputs)
    np.fill_diagonal(renamed, 2)
    np.testing.assert_array_equal(second, renamed)


def test_a_long_pair_loses_its_beginnings(model):
    """Which the prompts are; the end of an answer is what it comes down to."""
    part = Entailment(model=model, max_tokens=10, device="cpu")
    row = part._encode("prompt and yes", "prompt and no")
    text = tiny.tokenizer().decode(row["input_ids"])
    assert len(row["input_ids"]) == 10
    assert text.replace(" ", "").endswith("no") and "yes" in text.replace(" ", "")


@pytest.mark.parametrize(
    "names",
    [
        ("LABEL_0", "LABEL_1", "LABEL_2"),
        ("entailment", "not_entailment"),
        ("entailment", "neutral", "neutral too"),
        ("entailment", "neutral", "contradiction", "other"),
    ],
)
def test_other_labels_are_refused(tmp_path, names):
    with pytest.raises(ValueError, match=rf"three labels named contradiction.*got .*{names[0]}"):
        Entailment(model=folder(tmp_path, names), device="cpu")


def test_a_language_model_is_refused(tmp_path):
    path = tiny.language_model(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["id2label"] = {str(i): name for i, name in enumerate(NAMES)}
    config["label2id"] = {name: i for i, name in enumerate(NAMES)}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"lacks score\.weight.*from random weights"):
        Entailment(model=path, device="cpu")


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"cannot load a model of inference from .*; give a f"):
        Entailment(model=str(tmp_path / "nowhere"))


def test_pairs_need_a_pad(tmp_path):
    path = folder(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    settings.pop("pad_token")
    file.write_text(json.dumps(settings))
    with pytest.raises(ValueError, match=r"has no pad_token, so pairs cannot share a batch"):
        Entailment(model=path, device="cpu")
