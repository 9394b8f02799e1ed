"""The shipped model is what its card says."""

import json
import math
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from prefloop.testbed import MODEL, prompts
from prefloop.testbed.classifier import Classifier

from .rows import review_sentences

REWARDS = ("gold", "proxy")
CARD = json.loads((MODEL.parent / "card.json").read_text())


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(MODEL).eval()


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(MODEL)


@pytest.fixture(scope="module")
@torch.no_grad()
def samples(model, tokenizer) -> dict[str, Any]:
    """Temperature 1, top-p 0.95, as the card has it."""
    torch.manual_seed(1)
    batch = tokenizer(prompts("eval")[:64], return_tensors="pt", padding=True, padding_side="left")
    ids = model.generate(
        **batch, do_sample=True, top_p=0.95, top_k=0, max_new_tokens=40, num_return_sequences=4
    )
    texts = tokenizer.batch_decode(ids, skip_special_tokens=True)
    return {"texts": texts, "ended": float((ids == 2).any(1).float().mean())}


def test_the_model_is_small_and_a_plain_load_is_float32(model):
    assert 2e6 < model.num_parameters() < 4e6
    assert model.num_parameters() == CARD["model"]["parameters"]
    assert model.dtype == torch.float32
    assert (MODEL / "model.safetensors").stat().st_size < 8e6
    assert model.config.max_position_embeddings >= 1024


def test_special_tokens_are_agreed_on_by_tokenizer_model_and_generation(model, tokenizer):
    ids = (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert ids == (0, 1, 2)
    for config in (model.config, model.generation_config):
        assert (config.pad_token_id, config.bos_token_id, config.eos_token_id) == ids
    assert len(tokenizer) == model.config.vocab_size


@torch.no_grad()
def test_perplexity_on_unseen_sentences_is_the_cards(model, tokenizer):
    """Every sixth valid sentence; the card's number is over all of them."""
    losses = []
    for text in review_sentences("valid")[::6]:
        ids = torch.tensor([[*tokenizer(text)["input_ids"], 2]])
        logits = model(ids).logits[0, :-1]
        losses.append(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none"))
    perplexity = math.exp(torch.cat(losses).mean())
    assert perplexity == pytest.approx(CARD["model"]["valid"], rel=0.15)


@pytest.mark.parametrize(
    "text", ["the film is a mess.", "it's (almost) fun!", "naïve — 20% ünïcode"]
)
def test_decoding_gives_the_text_back_with_one_space_in_front(tokenizer, text):
    assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == " " + text


def test_a_prompt_of_whole_words_is_a_prefix_of_the_prompt_with_its_continuation(tokenizer):
    for text in review_sentences("valid"):
        words = text.split()
        prompt, whole = " ".join(words[:4]), " ".join(words)
        head, ids = tokenizer(prompt)["input_ids"], tokenizer(whole)["input_ids"]
        assert ids[: len(head)] == head
        rest = tokenizer(" ".join(words[4:]), add_special_tokens=False)["input_ids"]
        assert head + (rest if words[4:] else []) == ids


def test_most_samples_end_by_themselves(samples):
    assert samples["ended"] == pytest.approx(CARD["samples"]["eos"], abs=0.08)


def test_proxy_agrees_with_gold_on_most_but_not_all_of_the_policys_own_pairs(samples):
    """A quarter of the card's sample: four texts for each of 64 prompts, pairs within a prompt."""
    gold, proxy = (
        Classifier.load(name).log_odds(samples["texts"]).reshape(-1, 4) for name in REWARDS
    )
    alike = [
        (g[a] - g[b]) * (p[a] - p[b]) > 0
        for g, p in zip(gold, proxy, strict=True)
        for a, b in combinations(range(4), 2)
        if g[a] != g[b]
    ]
    assert 0.70 <= CARD["samples"]["agreement"] <= 0.80
    assert np.mean(alike) == pytest.approx(CARD["samples"]["agreement"], abs=0.07)


def test_the_package_ships_no_pickles_and_stays_small():
    files = [path for path in MODEL.parent.rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix in {".pkl", ".pt", ".bin", ".npy", ".joblib"}]
    shipped = [path for path in files if "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in shipped) < 12e6


def test_the_card_is_filled_and_keeps_the_attribution():
    card = Path(MODEL / "README.md").read_text()
    assert "Bo Pang and Lillian Lee" in card
    assert "CC BY 4.0" in card
    assert f"{CARD['samples']['agreement']:.1%}" in card
