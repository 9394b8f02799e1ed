"""Hidden states of trees, packed or padded: what a head other than the vocabulary's is put on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from prefloop.models.padded import padded_states, row_token_logps, rows
from prefloop.models.tree import Tree, backbone, device_of, layout, tree_states, vocabulary_logps


def end_states(
    model: Any, trees: Sequence[Tree], *, packs: bool
) -> Float[Tensor, "response width"]:
    """States at each response's last token, in tree order, differentiable."""
    states, where = _states(model, trees, packs)
    return states[where.ends]


def predictor_states(
    model: Any, trees: Sequence[Tree], *, packs: bool
) -> Float[Tensor, "token width"]:
    """States that predict each response token, in tree order: what is known before it is drawn."""
    states, where = _states(model, trees, packs)
    return states[where.predictors]


def predicted(
    model: Any, trees: Sequence[Tree], temperature: float, *, packs: bool
) -> tuple[Float[Tensor, "token width"], Float[Tensor, " token"]]:
    """States that predict each response token, and its log π by them: one forward pass for both."""
    if packs:
        packed = layout(trees, device_of(model))
        states = tree_states(backbone(model), packed)[packed.predictors]
        return states, vocabulary_logps(model, states, packed, temperature)
    padded = rows(trees, device_of(model))
    with _overheard(backbone(model)) as said:
        logps = row_token_logps(model, padded, temperature)
    return said[0].flatten(0, 1)[padded.predictors], logps


@contextmanager
def _overheard(trunk: nn.Module) -> Iterator[list[Tensor]]:
    """The states that the trunk gives to whoever runs it for the length of a `with`."""
    said: list[Tensor] = []
    hook = trunk.register_forward_hook(lambda *run: said.append(run[-1].last_hidden_state))
    try:
        yield said
    finally:
        hook.remove()


def _states(model: Any, trees: Sequence[Tree], packs: bool) -> tuple[Tensor, Any]:
    if packs:
        packed = layout(trees, device_of(model))
        return tree_states(backbone(model), packed), packed
    padded = rows(trees, device_of(model))
    return padded_states(backbone(model), padded), padded
