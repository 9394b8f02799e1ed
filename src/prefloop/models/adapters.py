"""Several sets of adapters on one backbone: a set is worn for a forward pass, then taken off.

peft can hold several adapters too, but switching them there turns gradients on and off, and a
policy's parameters would then include its reward model's. Here a model holds one set at a time.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from prefloop.models.heads import copied
from prefloop.models.load import checkpoint_gradients


class Trained(nn.Module):
    """What is trained on a backbone that others use too: a set of adapters, and heads."""

    def __init__(self, parts: Mapping[str, Any], score: nn.Linear) -> None:
        super().__init__()
        self.adapters = nn.Module()
        for name, part in parts.items():
            setattr(self.adapters, name.replace(".", "/"), part)
        self.score = score

    def parts(self, names: Mapping[str, Any]) -> dict[str, Any]:
        """The adapters by their places in the backbone."""
        return {name: getattr(self.adapters, name.replace(".", "/")) for name in names}


@dataclass(frozen=True)
class Worn:
    """The adapters of every place, and which layers have theirs switched off."""

    parts: Mapping[str, Any]
    off: tuple[str, ...] = ()


@dataclass
class Wardrobe:
    """Where a peft model's adapters sit, layer by layer."""

    model: Any
    layers: dict[str, Any] = field(init=False)
    places: dict[str, Any] = field(init=False)
    """place → the dict that has the adapter, under the active adapter's name"""

    def __post_init__(self) -> None:
        from peft.tuners.tuners_utils import BaseTunerLayer

        self._key = self.model.active_adapter
        modules = self.model.named_modules()
        self.layers = {name: m for name, m in modules if isinstance(m, BaseTunerLayer)}
        self.places = {
            f"{name}.{kind}": getattr(layer, kind)
            for name, layer in self.layers.items()
            for kind in layer.adapter_layer_names
            if self._key in getattr(layer, kind)
        }
        if any(getattr(m, "gradient_checkpointing", False) for m in self.model.modules()):
            checkpoint_gradients(self.model, self.again)

    def now(self) -> Worn:
        """What is worn."""
        off = (name for name, layer in self.layers.items() if layer._disable_adapters)
        return Worn({name: place[self._key] for name, place in self.places.items()}, tuple(off))

    @contextmanager
    def wearing(self, worn: Worn) -> Iterator[None]:
        """The model with these adapters for the length of a `with`; gradients stay as they are."""
        before = self.now()
        self._put(worn)
        try:
            yield
        finally:
            self._put(before)

    def again(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """For gradient checkpointing: a layer that is computed again wears what it wore."""
        return nullcontext(), self.wearing(self.now())

    def copied(self) -> dict[str, Any]:
        """A copy of the adapters that computes what the model does now: nothing where it is off."""
        worn = self.now()
        found = {name: _copy(part) for name, part in worn.parts.items()}
        for name, part in found.items():
            layer, _, kind = name.rpartition(".")
            if layer in worn.off and kind.endswith("_B"):
                nn.init.zeros_(getattr(part, "weight", part))
        return found

    def _put(self, worn: Worn) -> None:
        for name, place in self.places.items():
            place[self._key] = worn.parts[name]
        for name, layer in self.layers.items():
            layer._disable_adapters = name in worn.off


@dataclass(frozen=True)
class Shared:
    """A backbone under adapters, and what of it is one reward model's own."""

    wardrobe: Wardrobe
    own: Trained

    def worn(self) -> AbstractContextManager[None]:
        """The backbone under that reward model's adapters."""
        return self.wardrobe.wearing(Worn(self.own.parts(self.wardrobe.places)))


def _copy(part: Any) -> Any:
    if isinstance(part, nn.Module):
        return copied(part)
    return nn.Parameter(torch.empty_like(part).copy_(part.detach()))
