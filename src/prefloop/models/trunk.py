"""Hidden states of trees, packed or padded: what a head other than the vocabulary's is put on."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from prefloop.models.padded import padded_states, rows
from prefloop.models.tree import Tree, backbone, device_of, layout, tree_states


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


def _states(model: Any, trees: Sequence[Tree], packs: bool) -> tuple[Tensor, Any]:
    if packs:
        packed = layout(trees, device_of(model))
        return tree_states(backbone(model), packed), packed
    padded = rows(trees, device_of(model))
    return padded_states(backbone(model), padded), padded
