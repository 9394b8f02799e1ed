"""One token from each row of logits, by a uniform number drawn beforehand for that row alone."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from prefloop.types import SamplingSettings

BLOCK = 64
"""vocabulary entries summed together, so that the running sum is short"""


class Draw(NamedTuple):
    """A token a row, with its log-probability untruncated at temperature 1 and as drawn."""

    tokens: Int[Tensor, " row"]
    logp: Float[Tensor, " row"]
    logp_sampling: Float[Tensor, " row"]


def draw(
    logits: Float[Tensor, "row vocab"], uniforms: Float[Tensor, " row"], settings: SamplingSettings
) -> Draw:
    """The tokens at which the cumulated law passes the uniforms."""
    logits = logits.float()
    logps = logits.log_softmax(-1)
    if settings.temperature == 1 and settings.top_p == 1:
        law = logps.exp()
    else:
        law = nucleus((logits / settings.temperature).softmax(-1), settings.top_p)
    tokens = invert(law, uniforms)[:, None]
    logp = logps.gather(1, tokens)[:, 0]
    if settings.temperature == 1 and settings.top_p == 1:
        return Draw(tokens[:, 0], logp, logp)
    return Draw(tokens[:, 0], logp, law.gather(1, tokens)[:, 0].log())


def nucleus(law: Float[Tensor, "row vocab"], top_p: float) -> Float[Tensor, "row vocab"]:
    """The law cut to the fewest most likely tokens that hold at least top_p of it, renormalised.

    Holtzman et al. 2020 (arXiv:1904.09751), section 3.1.
    """
    if top_p == 1:
        return law
    ordered, tokens = law.sort(dim=-1, descending=True)
    is_in = ordered.cumsum(-1) - ordered < top_p
    kept = torch.zeros_like(law).scatter(1, tokens, ordered * is_in)
    return kept / kept.sum(-1, keepdim=True)


def invert(law: Float[Tensor, "row vocab"], uniforms: Float[Tensor, " row"]) -> Int[Tensor, " row"]:
    """The first token at which the running sum of the law exceeds uniform · total, in two steps:
    which block of the vocabulary, then which of its tokens."""
    wide = torch.float32 if law.device.type == "mps" else torch.float64
    spare = -law.shape[1] % BLOCK
    blocks = torch.nn.functional.pad(law, (0, spare)).view(len(law), -1, BLOCK)
    sums = blocks.sum(-1, dtype=wide).cumsum(-1)
    goal = uniforms.to(wide)[:, None] * sums[:, -1:]
    block = torch.searchsorted(sums, goal, right=True).clamp_(max=sums.shape[1] - 1)
    before = torch.where(block > 0, sums.gather(1, (block - 1).clamp_(min=0)), 0)
    inside = blocks.take_along_dim(block[:, :, None], 1)[:, 0]
    running = inside.to(wide).cumsum(-1)
    place = torch.searchsorted(running, goal - before, right=True)
    last = BLOCK - 1 - (inside > 0).flip(1).int().argmax(1, keepdim=True)
    return (block * BLOCK + place.minimum(last))[:, 0]
