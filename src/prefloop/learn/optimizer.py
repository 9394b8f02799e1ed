"""AdamW, its schedule, and its state as plain named tensors."""

from collections.abc import Mapping
from math import cos, pi

import torch
from torch import Tensor, nn

from prefloop.config import Learn


def adamw(model: nn.Module, settings: Learn) -> torch.optim.AdamW:
    """AdamW over the trainable parameters; norms and biases are not decayed."""
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    decayed = [p for _, p in named if p.ndim >= 2]
    plain = [p for _, p in named if p.ndim < 2]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=settings.lr)


def learning_rate(settings: Learn, step: int, total: int) -> float:
    """The rate of optimizer step `step` of `total` in a round: warm-up, then the schedule."""
    warm = int(settings.warmup * total)
    if step < warm:
        return settings.lr * (step + 1) / warm
    left = (total - step) / max(1, total - warm)
    shape = {"constant": 1.0, "linear": left, "cosine": (1 + cos(pi * (1 - left))) / 2}
    return settings.lr * shape[settings.schedule]


def state_tensors(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """The moments as {"exp_avg/layer.weight": tensor}; empty before the first step."""
    names = {id(p): name for name, p in model.named_parameters()}
    return {
        f"{kind}/{names[id(parameter)]}": value.detach().clone()
        for parameter, moments in optimizer.state.items()
        for kind, value in moments.items()
    }


def load_state_tensors(
    optimizer: torch.optim.Optimizer, model: nn.Module, tensors: Mapping[str, Tensor]
) -> None:
    """Put the moments of `state_tensors` back; an empty mapping makes the optimizer fresh."""
    optimizer.state.clear()
    parameters = dict(model.named_parameters())
    for name, value in tensors.items():
        kind, _, owner = name.partition("/")
        parameter = parameters[owner]
        device = torch.device("cpu") if kind == "step" else parameter.device
        optimizer.state[parameter][kind] = value.detach().clone().to(device)
