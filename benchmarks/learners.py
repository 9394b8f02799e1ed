"""One training step on a case, as prefloop and as TRL's trainers take it; no optimizer update.

Every step clears the gradients, computes the policy's log-probs, the DPO loss and the backward
pass, and returns the loss. `reference` says whether the step computes the reference's log-probs
too, or finds them cached.
"""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from cases import Case, model, tokenizer
from datasets import Dataset
from trl import DPOConfig, DPOTrainer
from trl.experimental.online_dpo import OnlineDPOConfig, OnlineDPOTrainer

from prefloop.batches import PairLogps
from prefloop.losses.dpo import dpo
from prefloop.models.load import Loaded, checkpoint_gradients
from prefloop.models.references import resident
from prefloop.models.transformer import TransformerPolicy

Step = Callable[[], float]
BETA = 0.1


def prefloop_step(
    case: Case, device: torch.device, *, low: bool, reference: bool, checkpointing: bool
) -> Step:
    """prefloop: packed trees, one micro-batch."""
    net = model(case.size, device).train()
    policy = TransformerPolicy(Loaded(net, tokenizer(), device, 1024))
    frozen = resident(
        TransformerPolicy(Loaded(model(case.size, device, 1), tokenizer(), device, 1024))
    )
    if checkpointing:
        checkpoint_gradients(net)
    cast = lambda: torch.autocast(device.type, torch.bfloat16) if low else nullcontext()
    cached = torch.tensor(reference_logps(case, device), device=device)

    def step() -> float:
        net.zero_grad(set_to_none=True)
        with cast():
            ref = cached
            if reference:
                with frozen(policy) as other:
                    ref = other.sequence_logps(case.trees)
            logps = policy.sequence_logps(case.trees)
        loss = dpo(pairs(logps, ref), beta=BETA).mean()
        loss.backward()
        return float(loss)

    return step


def pairs(logps: torch.Tensor, ref: torch.Tensor) -> PairLogps:
    """Neighbours as pairs, the first always preferred."""
    (a, b), (ref_a, ref_b) = logps.view(-1, 2).T, ref.view(-1, 2).T
    ones = torch.ones_like(a)
    return PairLogps(a=a, b=b, ref_a=ref_a, ref_b=ref_b, p=ones, len_a=ones, len_b=ones)


def reference_logps(case: Case, device: torch.device) -> list[float]:
    """What everyone finds in the cache: float32 log-probs of a model with another seed."""
    policy = TransformerPolicy(Loaded(model(case.size, device, 1), tokenizer(), device, 1024))
    with torch.no_grad():
        return [float(x) for x in policy.sequence_logps(case.trees)]


def trl_dpo_step(
    case: Case, device: torch.device, folder: Path, *, low: bool, checkpointing: bool
) -> Step:
    """TRL's DPOTrainer.training_step with reference log-probs precomputed."""
    args = DPOConfig(precompute_ref_log_probs=True, **_options(folder, device, low, checkpointing))
    row = {"prompt": ["5 6"], "chosen": ["7"], "rejected": ["8"]}
    trainer = DPOTrainer(
        model=model(case.size, device),
        args=args,
        train_dataset=Dataset.from_dict(row),
        processing_class=tokenizer(),
    )
    ref = reference_logps(case, device)
    rows = [
        {
            "prompt_ids": list(prompt),
            "chosen_ids": list(a),
            "rejected_ids": list(b),
            "ref_chosen_logps": ref[2 * i],
            "ref_rejected_logps": ref[2 * i + 1],
        }
        for i, (prompt, a, b) in enumerate(case.pairs)
    ]
    return _training_step(trainer, lambda: trainer.data_collator(rows))


class _Ready(OnlineDPOTrainer):  # type: ignore[misc]
    """TRL's OnlineDPOTrainer that finds its completions already generated."""

    completions: tuple[Any, ...]

    def _generate(self, model: Any, prompts: Any, images: Any = None) -> Any:
        return self.completions


def trl_online_step(
    case: Case, device: torch.device, folder: Path, *, low: bool, checkpointing: bool
) -> Step:
    """TRL's OnlineDPOTrainer.training_step without its generation; it always runs the reference."""
    options = _options(folder, device, low, checkpointing)
    trainer = _Ready(
        model=model(case.size, device),
        ref_model=model(case.size, device, 1),
        args=OnlineDPOConfig(max_length=1024, **options),
        reward_funcs=lambda completions, **_: [float(-i) for i in range(len(completions))],
        train_dataset=Dataset.from_dict({"prompt": ["5 6"]}),
        processing_class=tokenizer(),
    )
    firsts, seconds = ([pair[k] for pair in case.pairs] for k in (1, 2))
    prompts = _padded([pair[0] for pair in case.pairs] * 2, device, left=True)
    trainer.completions = (*prompts, *_padded(firsts + seconds, device, left=False), None)
    return _training_step(trainer, lambda: {"prompt": ["5 6"] * len(case.pairs)})


def _options(folder: Path, device: torch.device, low: bool, checkpointing: bool) -> dict[str, Any]:
    return {
        "output_dir": str(folder),
        "bf16": low,
        "gradient_checkpointing": checkpointing,
        "beta": BETA,
        "use_cpu": device.type == "cpu",
        "report_to": [],
        "disable_tqdm": True,
        "per_device_train_batch_size": 64,
        "save_strategy": "no",
    }


def _training_step(trainer: Any, inputs: Callable[[], Any]) -> Step:
    net = trainer.accelerator.prepare_model(trainer.model)
    trainer.model_wrapped = net
    trainer.current_gradient_accumulation_steps = 1

    def step() -> float:
        net.zero_grad(set_to_none=True)
        return float(trainer.training_step(net, inputs()))

    return step


def _padded(
    texts: list[tuple[int, ...]], device: torch.device, *, left: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, texts))
    ids = torch.zeros(len(texts), width, dtype=torch.long)
    for row, text in enumerate(texts):
        start = width - len(text) if left else 0
        ids[row, start : start + len(text)] = torch.tensor(text)
    return ids.to(device), (ids != 0).long().to(device)
