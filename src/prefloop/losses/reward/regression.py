"""Regression onto ratings."""

import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.batches import PointScores


def regression(y: PointScores, *, known: float | None = None) -> Float[Tensor, " response"]:
    """Squared error of the scores from the ratings that there are, a response counting once.

        ℓ = Σ_k known_k (r_k − y_k)² / n,      n = how many ratings the response has

    Wang et al. 2024, HelpSteer2 (arXiv:2406.08673); Wang et al. 2024, ArmoRM (arXiv:2406.12845).
    Ratings that are NaN have no say. `known`, the mean number of ratings a response has over all
    data, takes the place of n: then every rating counts the same, the mean of ℓ over the data is
    Σ error² / Σ known, and each score rests at the mean of its ratings, which else leans to
    responses with few.
    """
    if known is not None and not known > 0:
        raise ValueError(f"known must be positive, a mean number of ratings, got {known}")
    told = ~y.target.isnan()
    error = torch.where(told, y.score - torch.where(told, y.target, 0.0), 0.0)
    count = told.sum(1).clamp(min=1) if known is None else known
    return error.square().sum(1) / count
