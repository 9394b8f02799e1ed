"""The policy that log-ratios are taken against, without a second model where one will do."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from prefloop.models.load import load_weights, weights
from prefloop.models.transformer import TransformerPolicy


@runtime_checkable
class Reference(Protocol):
    """`with reference(policy) as frozen:` yields the reference policy, without gradients."""

    def __call__(self, policy: TransformerPolicy) -> AbstractContextManager[TransformerPolicy]: ...


@contextmanager
def adapters_off(policy: TransformerPolicy) -> Iterator[TransformerPolicy]:
    """The model under the adapters: what LoRA started from."""
    if not hasattr(policy.model, "peft_config"):
        raise ValueError("the model has no adapters to switch off; use Stored or Resident")
    with policy.model.disable_adapter(), torch.no_grad():
        yield _frozen(policy)


@dataclass(frozen=True)
class Stored:
    """The policy with other weights swapped in, and its own back bit for bit afterwards.

    Costs one copy of what is trained, on the CPU, and two copies' time; works for adapters too.
    """

    weights: dict[str, Tensor]
    """as `load.weights` returned them"""
    version: int = 0

    @contextmanager
    def __call__(self, policy: TransformerPolicy) -> Iterator[TransformerPolicy]:
        own = weights(policy.model)
        load_weights(policy.model, self.weights)
        try:
            with torch.no_grad():
                yield _frozen(policy, self.version)
        finally:
            load_weights(policy.model, own)


@dataclass(frozen=True)
class Resident:
    """A second model that stays in memory: no swapping, twice the weights."""

    policy: TransformerPolicy

    @contextmanager
    def __call__(self, policy: TransformerPolicy) -> Iterator[TransformerPolicy]:
        with torch.no_grad():
            yield self.policy


def resident(policy: TransformerPolicy) -> Resident:
    """A frozen copy of the policy as it is now."""
    model = deepcopy(policy.model).requires_grad_(False)
    model.zero_grad(set_to_none=True)
    copy = _frozen(policy)
    copy.loaded = replace(policy.loaded, model=model)
    return Resident(copy)


def _frozen(policy: TransformerPolicy, version: int | None = None) -> TransformerPolicy:
    return TransformerPolicy(
        policy.loaded,
        version=policy.version if version is None else version,
        source="reference",
        precision=policy.precision,
        tokens=policy.tokens,
        packs=policy.packs,
    )
