"""A mixture of attributes: how much each of them counts, by what the prompt is about."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear, relu

GATE, TENSORS = "gate.json", "gate.safetensors"


class Mixture(nn.Module):
    """One score of K frozen attributes, weighed by a gate that reads the prompt.

        R = β Σ_k g_k(x) (r_k − λ_k r_verbosity − m_k) / s_k,   g = softmax(MLP(e) / T)

    Wang et al. 2024, ArmoRM (arXiv:2406.12845), where ratings are scaled to [0, 1] beforehand:
    here m_k and s_k bring the attributes to one unit, whatever the file's. β is learned too, as
    the published code's logit_scale is. g ≥ 0 and Σ g = 1, so an attribute can only ever count
    for what it says: whoever is liked for being brief needs an attribute that says so.
    """

    level: Tensor
    unit: Tensor
    penalty: Tensor
    center: Tensor
    spread: Tensor

    def __init__(
        self,
        width: int,
        attributes: int,
        *,
        hidden: int = 64,
        layers: int = 2,
        temperature: float = 10.0,
        verbosity: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.shape = {"width": width, "attributes": attributes, "hidden": hidden, "layers": layers}
        self.temperature, self.verbosity = temperature, verbosity
        draw = torch.Generator().manual_seed(seed)
        sizes = [width, *[hidden] * layers, attributes]
        self.weights = nn.ParameterList(_drawn(draw, b, a, a) for a, b in pairwise(sizes))
        self.biases = nn.ParameterList(_drawn(draw, b, 1, a)[:, 0] for a, b in pairwise(sizes))
        self.log_scale = nn.Parameter(torch.zeros(()))
        """log β"""
        for name, size in {"level": attributes, "penalty": attributes, "center": width}.items():
            self.register_buffer(name, torch.zeros(size))
        self.register_buffer("unit", torch.ones(attributes))
        self.register_buffer("spread", torch.ones(()))

    def gate(self, prompts: Float[Tensor, "prompt width"]) -> Float[Tensor, "prompt attribute"]:
        """How much each attribute counts: non-negative, and one in all."""
        x = (prompts - self.center) / self.spread
        last = len(self.weights) - 1
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = linear(x, weight, bias)
            x = relu(x) if number < last else x
        return (x / self.temperature).softmax(1)

    def debiased(
        self, attributes: Float[Tensor, "response attribute"]
    ) -> Float[Tensor, "response attribute"]:
        """The attributes in one unit, without what goes with verbosity."""
        if self.verbosity is not None:
            attributes = attributes - self.penalty * attributes[:, [self.verbosity]]
        return (attributes - self.level) / self.unit

    def forward(
        self,
        debiased: Float[Tensor, "response attribute"],
        weights: Float[Tensor, "response attribute"],
    ) -> Float[Tensor, " response"]:
        """R of responses, given the weights that the gate has for their prompts."""
        return self.log_scale.exp() * (weights * debiased).sum(1)

    def save(self, folder: Path) -> None:
        """gate.json and gate.safetensors."""
        from safetensors.torch import save_file

        said = {**self.shape, "temperature": self.temperature, "verbosity": self.verbosity}
        (folder / GATE).write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
        tensors = {name: t.detach().cpu().contiguous() for name, t in self.state_dict().items()}
        save_file(tensors, folder / TENSORS)

    @classmethod
    def load(cls, folder: Path) -> "Mixture":
        """What `save` wrote; OSError, KeyError, TypeError or ValueError where it did not."""
        from safetensors.torch import load_file

        said: dict[str, Any] = json.loads((folder / GATE).read_text(encoding="utf-8"))
        found = cls(said.pop("width"), said.pop("attributes"), **said)
        tensors = load_file(folder / TENSORS)
        try:
            found.to(tensors["log_scale"].dtype).load_state_dict(tensors)
        except RuntimeError as error:
            raise ValueError(str(error).splitlines()[-1].strip()) from None
        return found.eval()


def _drawn(draw: torch.Generator, rows: int, columns: int, width: int) -> nn.Parameter:
    """Uniform in ±1/√width, as nn.Linear's own weights and biases are."""
    found = torch.rand(rows, columns, generator=draw)
    return nn.Parameter((2 * found - 1) / width**0.5)
