"""A causal language model from a Hugging Face folder or hub id, ready to sample and to train."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.utils.logging import (
    disable_progress_bar,
    get_verbosity,
    set_verbosity,
    set_verbosity_error,
)

from prefloop import config
from prefloop.config import ConfigError
from prefloop.models.lora import adapted, quantization

log = logging.getLogger("prefloop")


@dataclass(frozen=True)
class Loaded:
    """A model with its tokenizer, and where and how long it may think."""

    model: Any
    """a Hugging Face causal LM, wrapped by peft when it has adapters"""
    tokenizer: Any
    device: torch.device
    context: int
    """longest prompt + response, in tokens"""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What of a checkpoint is wanted."""

    auto: Any
    """the transformers class that finds the model's class by its config"""
    known: Any
    """configs that it finds one for"""
    noun: str
    setting: str
    """where the path was given"""
    lacks: str
    """what a tensor that is not in the checkpoint means, and the remedy"""
    heads: int | None = None
    """outputs of a head that is not looked for in the checkpoint"""


LANGUAGE = Kind(
    auto=AutoModelForCausalLM,
    known=MODEL_FOR_CAUSAL_LM_MAPPING,
    noun="causal language model",
    setting="model.path",
    lacks="that its language model needs; give a causal LM's own checkpoint",
)


def load(settings: config.Model) -> Loaded:
    """The model as `settings` ask for it; ConfigError says what is wrong with a model that cannot
    be had. Dropout is off everywhere: a model in training mode computes what it does in use."""
    loaded = bare(settings, LANGUAGE)
    if settings.adapter == "none":
        return loaded
    return replace(loaded, model=adapted(loaded.model, settings, "CAUSAL_LM").train())


def bare(settings: config.Model, kind: Kind) -> Loaded:
    """The same of any kind, before it gets its adapters."""
    disable_progress_bar()
    path = location(settings.path)
    device = find_device(settings.device)
    found = architecture(path, settings, kind)
    context = _context(found, settings)
    tokenizer = _tokenizer(path, found, settings, kind)
    model = _weights(path, found, device, settings, kind)
    _check_vocabulary(model, tokenizer, settings.path)
    if settings.gradient_checkpointing:
        checkpoint_gradients(model)
    return Loaded(model.train(), tokenizer, device, context)


def location(path: str) -> str:
    """Where a model is: `testbed` is the one that comes with prefloop."""
    if path != "testbed":
        return path
    from prefloop.testbed import MODEL

    return str(MODEL)


def find_device(name: str) -> torch.device:
    """The device of that name; `auto` is the first of cuda, mps and cpu that there is."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).split("\n")[0]
        raise ConfigError(
            f"model.device {name!r} cannot be used here ({reason}); auto finds one that can"
        ) from None
    return device


def checkpoint_gradients(model: Any, context: Callable[[], Any] | None = None) -> None:
    """Keep only each layer's input, and compute the rest again on the way back.

    `context` makes the two contexts of a layer: of its computation, and of its repetition.
    """
    enable = getattr(model, "activation_checkpointing_enable", None)  # its name since 5.2x
    more = {} if context is None else {"context_fn": context}
    (enable or model.gradient_checkpointing_enable)({"use_reentrant": False, **more})


def drop_nothing(model: nn.Module) -> None:
    """Switch dropout off in every module, for good."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in [n for n, v in vars(module).items() if "drop" in n and type(v) is float]:
            setattr(module, name, 0.0)


def save(loaded: Loaded, folder: Path) -> None:
    """Write an ordinary Hugging Face folder, adapters merged into a copy of the weights."""
    model = loaded.model
    (merged(model) if hasattr(model, "peft_config") else model).save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)


def merged(model: Any) -> Any:
    """A copy of a model with adapters, as one without."""
    model = deepcopy(model).merge_and_unload()
    return model.dequantize() if getattr(model, "is_quantized", False) else model


def weights(model: nn.Module) -> dict[str, Tensor]:
    """A copy, on the CPU, of exactly what is trained: all of it, or the adapters; ties once."""
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    return {name: p.detach().to("cpu", copy=True).contiguous() for name, p in trained.items()}


def load_weights(model: nn.Module, stored: dict[str, Tensor]) -> None:
    """Put back what `weights` returned, bit for bit."""
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if trained.keys() != stored.keys():
        odd = sorted(trained.keys() ^ stored.keys())
        raise ValueError(
            f"the stored weights are another model's: {len(odd)} names differ, {odd[0]} first; "
            "load them into the model and adapter settings they were saved from"
        )
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(stored[name])


def architecture(path: str, settings: config.Model, kind: Kind) -> Any:
    """The config of a checkpoint, dropout switched off; ConfigError where it is of no such kind."""
    try:
        found = AutoConfig.from_pretrained(path, trust_remote_code=settings.trust_remote_code)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{kind.setting} {settings.path!r} is no model that can be read: it must be a folder "
            f"with a config.json, or a hub id that this machine can fetch ({_first_line(error)})"
        ) from None
    name = kind.auto.__name__
    remote = settings.trust_remote_code and name in getattr(found, "auto_map", {})
    if type(found) not in kind.known and not remote:
        raise ConfigError(
            f"{kind.setting} {settings.path!r} holds a {found.model_type} model, which is no "
            f"{kind.noun}; give one that {name} can load"
        )
    if kind.heads is not None:
        found.num_labels = kind.heads
    _switch_dropout_off(found)
    return found


def _switch_dropout_off(architecture: Any) -> None:
    for part in (architecture, architecture.get_text_config()):
        for name, value in vars(part).items():
            if ("drop" in name or name.endswith("_pdrop")) and isinstance(value, float):
                setattr(part, name, 0.0)


def _context(architecture: Any, settings: config.Model) -> int:
    text = architecture.get_text_config()
    longest: int | None = getattr(text, "max_position_embeddings", None)
    if longest is None:
        return settings.max_tokens or 1_000_000  # a state-space model forgets, but has no limit
    if settings.max_tokens is not None and settings.max_tokens > longest:
        raise ConfigError(
            f"model.max_tokens must be at most the model's context of {longest} tokens, "
            f"got {settings.max_tokens}"
        )
    return settings.max_tokens or longest


def _tokenizer(path: str, architecture: Any, settings: config.Model, kind: Kind) -> Any:
    try:
        found = AutoTokenizer.from_pretrained(path, trust_remote_code=settings.trust_remote_code)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"{kind.setting} {settings.path!r} has no tokenizer that can be read; save the model's "
            f"tokenizer into the folder ({_first_line(error)})"
        ) from None
    if found.eos_token_id is None:
        named = architecture.get_text_config().eos_token_id
        ids = named if isinstance(named, list) else [named]
        found.eos_token = None if ids[0] is None else found.convert_ids_to_tokens(ids[0])
    if found.eos_token_id is None:
        raise ConfigError(
            f"the tokenizer of {settings.path!r} has no end-of-sequence token, so a response could "
            "never end; set eos_token in its tokenizer_config.json"
        )
    if found.pad_token_id is None:
        found.pad_token = found.eos_token  # safe: padding is always told apart by position
    return found


def _weights(
    path: str, architecture: Any, device: torch.device, settings: config.Model, kind: Kind
) -> Any:
    options: dict[str, Any] = {"dtype": _dtype(settings)}
    if settings.adapter == "qlora":
        options |= {"quantization_config": quantization(), "device_map": {"": device}}
    if kind.heads is not None:
        options["ignore_mismatched_sizes"] = True
    try:
        with nullcontext() if kind.heads is None else _quiet():
            model, report = kind.auto.from_pretrained(
                path,
                config=architecture,
                use_safetensors=True,
                output_loading_info=True,
                trust_remote_code=settings.trust_remote_code,
                **options,
            )
    except OSError as error:
        raise ConfigError(
            f"{kind.setting} {settings.path!r} has no safetensors weights that can be read; save "
            f"it again with save_pretrained ({_first_line(error)})"
        ) from None
    _check_complete(report, settings, kind)
    drop_nothing(model)
    return model if settings.adapter == "qlora" else model.to(device)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' warning of a head that is not there, where none is looked for."""
    before = get_verbosity()
    set_verbosity_error()
    try:
        yield
    finally:
        set_verbosity(before)


def _check_complete(report: Any, settings: config.Model, kind: Kind) -> None:
    odd = {name for name, *_ in report["mismatched_keys"]} | set(report["missing_keys"])
    missing = sorted(name for name in odd if kind.heads is None or not name.startswith("score."))
    if missing:
        raise ConfigError(
            f"the checkpoint of {settings.path!r} lacks {missing[0]} (and {len(missing) - 1} more "
            f"tensors) {kind.lacks}"
        )


def _dtype(settings: config.Model) -> Any:
    if settings.dtype == "auto":
        return torch.float32 if settings.adapter == "none" else "auto"
    return getattr(torch, settings.dtype)


def _check_vocabulary(model: Any, tokenizer: Any, path: str) -> None:
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise ConfigError(
            f"the tokenizer of {path!r} has {len(tokenizer)} tokens but the model only {rows}; "
            "the two must belong together"
        )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
