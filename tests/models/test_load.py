"""Loading, saving, and what is said when a model cannot be had."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, T5Config, T5ForConditionalGeneration

import tiny
from models.families import build, forest, one_by_one
from prefloop.config import ConfigError, Model
from prefloop.models.load import load, load_weights, save, weights


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a tiny Llama and its tokenizer."""
    return written(tmp_path / "llama", "llama")


def written(folder: Path, family: str) -> Path:
    build(family).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


def edit(file: Path, **changes):
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def settings(folder: Path, **changes) -> Model:
    return Model(path=str(folder), device="cpu", **changes)


def shaken(model):
    """Every trained weight moved a little, as training would."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn_like(parameter)
    return model


def test_a_model_in_training_mode_computes_what_it_does_in_use(tmp_path):
    found = load(settings(written(tmp_path / "gpt2", "gpt2")))
    ids = torch.arange(5, 25)[None]
    assert found.model.training
    once, twice = found.model(ids).logits, found.model.eval()(ids).logits
    torch.testing.assert_close(once, twice, rtol=0, atol=0)


def test_full_fine_tuning_is_float32_and_adapters_keep_the_checkpoint(tmp_path):
    build("llama").to(torch.bfloat16).save_pretrained(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    assert load(settings(tmp_path)).model.dtype == torch.float32
    adapted = load(settings(tmp_path, adapter="lora")).model
    assert adapted.get_base_model().lm_head.weight.dtype == torch.bfloat16
    assert load(settings(tmp_path, dtype="bfloat16")).model.dtype == torch.bfloat16


def test_the_context_is_the_models_unless_less_is_asked_for(folder):
    assert load(settings(folder)).context == 64
    assert load(settings(folder, max_tokens=20)).context == 20
    with pytest.raises(ConfigError, match="at most the model's context of 64 tokens, got 65"):
        load(settings(folder, max_tokens=65))


@pytest.mark.parametrize("adapter", ["none", "lora"])
def test_a_saved_model_is_an_ordinary_folder_with_the_same_logits(folder, tmp_path, adapter):
    torch.manual_seed(0)
    loaded = load(settings(folder, adapter=adapter))
    shaken(loaded.model)
    trained = weights(loaded.model)
    save(loaded, tmp_path / "out")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    ids = torch.arange(5, 25)[None]
    torch.testing.assert_close(again(ids).logits, loaded.model(ids).logits, rtol=1e-4, atol=1e-4)
    assert list((tmp_path / "out").glob("*.safetensors"))
    after = weights(loaded.model)
    assert all(torch.equal(trained[name], after[name]) for name in trained)
    assert load(settings(tmp_path / "out")).context == 64


@pytest.mark.parametrize("adapter", ["none", "lora"])
def test_weights_come_back_bit_for_bit_and_hold_only_what_is_trained(folder, adapter):
    model = load(settings(folder, adapter=adapter)).model
    before = weights(shaken(model))
    assert all(("lora_" in name) == (adapter == "lora") for name in before)
    assert "lm_head.weight" not in before  # tied: once
    frozen = {n: p.clone() for n, p in model.named_parameters() if not p.requires_grad}
    load_weights(shaken(model), before)
    after = dict(model.named_parameters())
    assert all(torch.equal(after[name], value) for name, value in {**before, **frozen}.items())


def test_weights_of_another_model_are_refused(folder):
    model = load(settings(folder)).model
    with pytest.raises(ValueError, match="stored weights are another model's: 1 names differ"):
        load_weights(model, {**weights(model), "extra": torch.zeros(1)})


def test_lora_starts_at_the_base_model_and_trains_only_adapters(folder):
    trees = forest()
    base = one_by_one(load(settings(folder)).model, trees)
    model = load(settings(folder, adapter="lora", lora_rank=2, lora_targets="q_proj, v_proj")).model
    torch.testing.assert_close(one_by_one(model, trees), base)
    assert {name.split(".")[-4] for name in weights(model)} == {"q_proj", "v_proj"}


def test_a_tokenizer_without_pad_uses_eos_and_one_without_eos_the_models(folder):
    edit(folder / "tokenizer_config.json", pad_token=None)
    assert load(settings(folder)).tokenizer.pad_token == "</s>"
    edit(folder / "tokenizer_config.json", eos_token=None)
    assert load(settings(folder)).tokenizer.eos_token == "</s>"


def test_a_model_without_any_eos_is_refused(folder):
    edit(folder / "tokenizer_config.json", eos_token=None)
    edit(folder / "config.json", eos_token_id=None)
    with pytest.raises(ConfigError, match=r"no end-of-sequence token.*set eos_token"):
        load(settings(folder))


def test_a_path_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"'.*nowhere' is no model that can be read"):
        load(settings(tmp_path / "nowhere"))


def test_a_model_of_another_kind_is_refused(tmp_path):
    sizes = {"d_model": 8, "d_ff": 8, "num_layers": 1, "num_heads": 1, "vocab_size": 101}
    T5ForConditionalGeneration(T5Config(**sizes)).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="holds a t5 model, which is no causal language model"):
        load(settings(tmp_path))


def test_a_checkpoint_whose_head_would_be_made_up_is_refused(tmp_path):
    tiny.reward_model(tmp_path, tie_word_embeddings=False)
    with pytest.raises(ConfigError, match=r"lacks lm_head\.weight"):
        load(settings(tmp_path))


def test_weights_that_are_not_safetensors_are_refused(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="no safetensors weights that can be read"):
        load(settings(folder))


def test_a_folder_without_tokenizer_is_refused(tmp_path):
    build("llama").save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="no tokenizer that can be read"):
        load(settings(tmp_path))


def test_a_tokenizer_that_is_too_large_for_the_model_is_refused(folder):
    bigger = tiny.tokenizer()
    bigger.add_tokens(["more"])
    bigger.save_pretrained(folder)
    with pytest.raises(ConfigError, match="has 102 tokens but the model only 101"):
        load(settings(folder))


def test_qlora_without_bitsandbytes_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "bitsandbytes", None)
    with pytest.raises(ConfigError, match=r"needs bitsandbytes.*prefloop\[qlora\].*adapter: lora"):
        load(settings(folder, adapter="qlora"))


def test_lora_targets_that_do_not_exist_are_refused(folder):
    with pytest.raises(ConfigError, match="lora_targets 'query' does not fit this model"):
        load(settings(folder, adapter="lora", lora_targets="query"))


@pytest.mark.parametrize("device", ["cuda:99", "gpu"])
def test_a_device_that_is_not_there_is_refused(folder, device):
    with pytest.raises(ConfigError, match=f"model.device '{device}' cannot be used here"):
        load(Model(path=str(folder), device=device))


def test_a_corrupt_checkpoint_is_refused(folder):
    save_file({"nothing": torch.zeros(1)}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match=r"lacks .* tensors\) that its language model needs"):
        load(settings(folder))
