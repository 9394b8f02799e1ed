"""A frozen encoder reads the last valid token, whatever stands beside it in the batch."""

import numpy as np
import pytest
import torch
from transformers import AutoModel, BertConfig, BertModel

import tiny
from prefloop.features.encoder import Encoder
from worlds import response

TEXTS = (" good", " a much longer answer, this", "", " bad", " x")
RESPONSES = [response(text) for text in TEXTS]


@pytest.fixture(scope="module")
def causal(tmp_path_factory):
    return tiny.language_model(tmp_path_factory.mktemp("causal"))


@pytest.fixture(scope="module")
def both_ways(tmp_path_factory):
    """A model that looks to both sides, in which an unmasked pad would show."""
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    size = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1}
    BertModel(BertConfig(vocab_size=101, intermediate_size=16, **size)).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return str(folder)


def by_hand(path: str, text: str) -> np.ndarray:
    """All of one text's states, read with transformers alone."""
    model = AutoModel.from_pretrained(path).eval()
    ids = torch.tensor([tiny.tokenizer()(text)["input_ids"]])
    with torch.no_grad():
        return model(input_ids=ids).last_hidden_state[0].numpy()


@pytest.mark.parametrize("model", ["causal", "both_ways"])
@pytest.mark.parametrize("tokens", [1, 50, 8192])
def test_a_padded_batch_gives_each_text_the_state_of_its_own_last_token(model, tokens, request):
    path = request.getfixturevalue(model)
    found = Encoder(path=path, tokens=tokens, device="cpu").features(RESPONSES)
    expected = [by_hand(path, r.prompt.text + r.text)[-1] for r in RESPONSES]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.dtype == np.float32


@pytest.mark.parametrize("model", ["causal", "both_ways"])
def test_the_mean_is_over_valid_tokens_only(model, request):
    path = request.getfixturevalue(model)
    found = Encoder(path=path, pooling="mean", device="cpu").features(RESPONSES)
    expected = [by_hand(path, r.prompt.text + r.text).mean(0) for r in RESPONSES]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_no_batch_is_larger_than_the_budget(causal, monkeypatch):
    seen, part = [], Encoder(path=causal, tokens=50, device="cpu")
    forward = part._model.forward
    monkeypatch.setattr(
        part._model, "forward", lambda **x: seen.append(x["input_ids"].shape) or forward(**x)
    )
    part.features(RESPONSES)
    assert len(seen) > 1 and all(rows * time <= 50 for rows, time in seen)


def test_a_text_longer_than_the_context_is_refused_or_seen_from_its_end(causal):
    long = response("y" * 100)
    with pytest.raises(ValueError, match=r"encoder's 64 tokens, got 113; set overflow to keep_end"):
        Encoder(path=causal, device="cpu").features([long])
    found = Encoder(path=causal, overflow="keep_end", max_tokens=9, device="cpu").features([long])
    np.testing.assert_allclose(found[0], by_hand(causal, "y" * 9)[-1], atol=1e-5)


def test_a_text_without_tokens_is_refused(causal):
    part = Encoder(path=causal, device="cpu")
    with pytest.raises(ValueError, match="no tokens has no hidden state, got ''; drop it"):
        part._encode("")


@pytest.mark.parametrize("missing", ["nowhere", "."])
def test_a_folder_that_holds_no_model_is_named(tmp_path, missing):
    with pytest.raises(ValueError, match=r"cannot load an encoder from .*; give a folder"):
        Encoder(path=str(tmp_path / missing))


def test_a_checkpoint_of_another_model_is_refused(causal, tmp_path):
    """transformers would fill in random weights."""
    torch.manual_seed(0)
    folder = tmp_path / "odd"
    AutoModel.from_pretrained(causal).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    tiny.config(num_hidden_layers=2).save_pretrained(folder)
    with pytest.raises(ValueError, match=r"lacks .* would come from random weights; give"):
        Encoder(path=str(folder))
