"""A language model that learns to say which of two responses is better."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from prefloop import frozen
from prefloop.config import Config, ConfigError
from prefloop.learn.learner import Plan, autocast
from prefloop.learn.optimizer import adamw, learning_rate
from prefloop.models.load import Loaded, load, save
from prefloop.oracles._pair_text import PairText, said
from prefloop.oracles.pair_model import PairModel
from prefloop.rng import key
from prefloop.types import Preference

Told = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Example:
    """What is read, and the probability with which the first of the two answers is right."""

    tokens: list[int]
    first: float


def train(rows: Sequence[Preference], config: Config, folder: Path, told: Told) -> dict[str, Any]:
    """Fine-tune on the one token of the answer; an ordinary causal language model's folder.

    Which response is named first is drawn for each pair from the seed, so that the place says
    nothing (arXiv:2405.07863).
    """
    settings, loaded = config.reward, load(config.model)
    text = PairText(tokenizer=loaded.tokenizer, template=PairModel.template)
    examples = _fitting([example(text, row, config.seed) for row in rows], loaded)
    plan = Plan.of(range(len(examples)), settings, config.seed, 1)
    optimizer, losses = adamw({"": loaded.model}, settings), []
    for number, places in enumerate(plan.batches):
        rate = learning_rate(settings, number, len(plan.batches))
        chosen = [examples[i] for i in places]
        losses.append(_step(loaded, chosen, text.targets, optimizer, rate, config))
        told(number + 1, len(plan.batches))
    save(loaded, folder)
    return {
        "rows": len(examples),
        "rows_too_long": len(rows) - len(examples),
        "steps": len(plan.batches),
        "tokens_trained": settings.epochs * sum(len(e.tokens) for e in examples),
        "loss": losses,
    }


def example(text: PairText, row: Preference, seed: int) -> Example:
    """The pair as text, one way round or the other."""
    query = row.query
    swapped = key(seed, "order", query.id or query.prompt.id) % 2 == 1
    a, b, p = (query.b, query.a, 1 - row.p) if swapped else (query.a, query.b, row.p)
    return Example(text.encode(query.prompt.text, a.text, b.text), p)


def loss(model: Any, examples: Sequence[Example], targets: Sequence[int]) -> Tensor:
    """Cross-entropy of each answer over the whole vocabulary: what it says must be an answer."""
    logps = said(model, [e.tokens for e in examples], targets)
    p = torch.tensor([e.first for e in examples]).to(logps)
    return -(p * logps[:, 0] + (1 - p) * logps[:, 1])


def _step(
    loaded: Loaded,
    examples: Sequence[Example],
    targets: Sequence[int],
    optimizer: torch.optim.Optimizer,
    rate: float,
    config: Config,
) -> float:
    settings, total = config.reward, 0.0
    cast = autocast(settings.precision, loaded.device)
    for part in _parts(examples, settings.tokens):
        with cast():
            value = loss(loaded.model, part, targets).sum() / len(examples)
        torch.autograd.backward(value)
        total += float(value.detach())
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm or float("inf"))
    if not torch.isfinite(norm):
        raise FloatingPointError(f"the gradient norm is {norm.item()}; lower reward.lr ({rate:g})")
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total


def _parts(examples: Sequence[Example], budget: int) -> Iterator[list[Example]]:
    for places in frozen.batches([len(e.tokens) for e in examples], budget):
        yield [examples[i] for i in places]


def _fitting(examples: Sequence[Example], loaded: Loaded) -> list[Example]:
    found = [e for e in examples if len(e.tokens) <= loaded.context]
    if not found:
        raise ConfigError(
            f"none of {len(examples)} pairs fits {loaded.context} tokens, both responses and the "
            "prompt together; give a model with a longer context"
        )
    return found
