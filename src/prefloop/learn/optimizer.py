"""AdamW, its schedule, and its state as plain named tensors."""

from collections.abc import Mapping
from math import cos, pi

import torch
from torch import Tensor, nn

from prefloop.config import Training

Trained = Mapping[str, nn.Module]
"""what is trained, by the prefix of its parameters' names; "" is the policy or the reward model"""


def adamw(
    trained: Trained, settings: Training, scales: Mapping[str, float] | None = None
) -> torch.optim.AdamW:
    """AdamW over the trainable parameters; norms and biases are not decayed.

    `scales` multiplies the learning rate of a prefix.
    """
    groups = []
    for prefix, module in trained.items():
        every = [p for p in module.parameters() if p.requires_grad]
        scale = (scales or {}).get(prefix, 1.0)
        for decay, mine in (
            (settings.weight_decay, [p for p in every if p.ndim >= 2]),
            (0.0, [p for p in every if p.ndim < 2]),
        ):
            groups.append({"params": mine, "weight_decay": decay, "scale": scale})
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=settings.lr)


def learning_rate(settings: Training, step: int, total: int) -> float:
    """The rate of optimizer step `step` of `total` in a round: warm-up, then the schedule."""
    warm = int(settings.warmup * total)
    if step < warm:
        return settings.lr * (step + 1) / warm
    left = (total - step) / max(1, total - warm)
    shape = {"constant": 1.0, "linear": left, "cosine": (1 + cos(pi * (1 - left))) / 2}
    return settings.lr * shape[settings.schedule]


def state_tensors(optimizer: torch.optim.Optimizer, trained: Trained) -> dict[str, Tensor]:
    """The moments as {"exp_avg/layer.weight": tensor}; empty before the first step."""
    names = {id(p): name for name, p in _named(trained).items()}
    return {
        f"{kind}/{names[id(parameter)]}": value.detach().clone()
        for parameter, moments in optimizer.state.items()
        for kind, value in moments.items()
    }


def load_state_tensors(
    optimizer: torch.optim.Optimizer, trained: Trained, tensors: Mapping[str, Tensor]
) -> None:
    """Put the moments of `state_tensors` back; an empty mapping makes the optimizer fresh."""
    optimizer.state.clear()
    parameters = _named(trained)
    for name, value in tensors.items():
        kind, _, owner = name.partition("/")
        parameter = parameters[owner]
        device = torch.device("cpu") if kind == "step" else parameter.device
        optimizer.state[parameter][kind] = value.detach().clone().to(device)


def _named(trained: Trained) -> dict[str, nn.Parameter]:
    return {
        f"{prefix}.{name}" if prefix else name: parameter
        for prefix, module in trained.items()
        for name, parameter in module.named_parameters()
    }
