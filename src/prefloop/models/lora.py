"""Low-rank adapters on a frozen model, and the four bits a weight that QLoRA freezes it in."""

import warnings
from typing import Any

import torch

from prefloop import config
from prefloop.config import ConfigError


def adapted(model: Any, settings: config.Model, task: str | None) -> Any:
    """The model, frozen, under new adapters that change nothing yet."""
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    if settings.adapter == "qlora":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    listed = [name.strip() for name in settings.lora_targets.split(",")]
    targets = "all-linear" if listed == ["all-linear"] else listed
    adapter = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=0.0,
        target_modules=targets,
        task_type=task,
    )
    try:
        with warnings.catch_warnings():  # peft asks transformers by a name that is to be renamed
            warnings.simplefilter("ignore", FutureWarning)
            return get_peft_model(model, adapter)
    except ValueError as error:
        raise ConfigError(
            f"model.lora_targets {settings.lora_targets!r} does not fit this model; use "
            f"all-linear, or names of its linear layers ({str(error).strip().splitlines()[0]})"
        ) from None


def quantization() -> Any:
    """Four bits a weight, as QLoRA's (arXiv:2305.14314)."""
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise ConfigError(
            "model.adapter 'qlora' needs bitsandbytes, which is not installed; install "
            "prefloop[qlora], or use adapter: lora"
        ) from None
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
