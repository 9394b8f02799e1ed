"""Supervised fine-tuning."""

import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.batches import PointLogps


def sft(y: PointLogps) -> Float[Tensor, " sample"]:
    """Negative log-likelihood of the desirable responses, a token of the batch counting once.

        ℓ = −log π(y) / (mean length of the accumulated batch)   for a desirable y, else 0

    Ouyang et al. 2022 (arXiv:2203.02155). Averaged over a batch of desirable responses it is
    Σ nll / Σ tokens, however the batch was cut. An undesirable response adds nothing to the sum but
    counts in the mean and its length: it dilutes the step, so leave it out of an SFT batch.
    """
    nll = -y.y / y.mean_length
    return torch.where(y.desirable, nll, torch.zeros_like(nll))
