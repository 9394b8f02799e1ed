"""TRL's RLOO step and Hugging Face's reward scores, on the responses that ours learn from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from rounds import BETA, CLIP, Round, Samples, network
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from trl import RLOOConfig, RLOOTrainer

from prefloop.models.reward import RewardModel


class _Ready(RLOOTrainer):  # type: ignore[misc]
    """TRL's RLOOTrainer that finds its completions already generated."""

    drawn: tuple[list[list[int]], list[list[int]], list[str]]

    def _generate(self, prompts: Any) -> Any:
        return self.drawn


def trl_rloo_round(samples: Samples, folder: Path) -> tuple[Round, Any]:
    """`RLOOTrainer.training_step` without its generation, clip and AdamW; and what it trains.

    It asks policy and reference first, as ours does, and takes one step on the whole round.
    """
    responses = samples.responses
    rows = [{"prompt": str(i)} for i in range(len(responses))]
    trainer = _Ready(
        model=network(samples.folder),
        reward_funcs=lambda completions, **_: samples.rewards,
        args=_settings(samples, folder),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(samples.folder, padding_side="left"),
    )
    trainer.drawn = (
        [list(r.prompt.tokens) for r in responses],
        [list(r.tokens) for r in responses],
        [r.text for r in responses],
    )
    net = trainer.accelerator.prepare_model(trainer.model)
    trainer.model_wrapped, trainer.current_gradient_accumulation_steps = net, 1
    optimizer = trainer.create_optimizer()

    def learn() -> float:
        optimizer.zero_grad(set_to_none=True)
        trainer.training_step(net, rows, None)
        norm = nn.utils.clip_grad_norm_(net.parameters(), CLIP)
        optimizer.step()
        return float(norm)

    return learn, net


def _settings(samples: Samples, folder: Path) -> RLOOConfig:
    return RLOOConfig(
        output_dir=str(folder),
        per_device_train_batch_size=len(samples.responses),
        num_generations=samples.each,
        beta=BETA,
        learning_rate=1e-9,
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        save_strategy="no",
    )


Scores = Callable[[], list[Any]]


def scores(reward: RewardModel, samples: Samples) -> Scores:
    """Ours: the responses of a prompt as one tree, nothing padded."""
    return lambda: reward.score(samples.responses)


def padded_scores(reward: RewardModel, samples: Samples, folder: Path) -> Scores:
    """Hugging Face's classifier, from the folder that ours saves, on one batch padded right."""
    reward.save(folder)
    net = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    texts = [torch.tensor([*r.prompt.tokens, *r.tokens]) for r in samples.responses]
    seen = pad_sequence([torch.ones_like(text) for text in texts], batch_first=True)
    tokens = pad_sequence(texts, batch_first=True, padding_value=net.config.pad_token_id)

    @torch.no_grad()
    def score() -> list[Any]:
        return net(input_ids=tokens, attention_mask=seen).logits[:, 0].tolist()

    return score
