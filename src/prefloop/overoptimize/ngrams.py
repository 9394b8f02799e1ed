"""The smallest proxy there is: a linear Bradley–Terry reward on hashed character n-grams."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.numpy import save_file
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from prefloop.testbed.classifier import Classifier, hashed_characters

BUCKETS = 2**15
"""as many as the testbed's own proxy has"""
RIDGE = 1.0


def fit(pairs: Sequence[tuple[str, str]], p: Sequence[float]) -> Classifier:
    """The reward for which P(first ≻ second) = σ(w·δ) is likeliest, δ the n-grams' difference.

        argmin Σ BCE(p, σ(w·δ)) + ridge/2 ‖w‖²

    The family of the testbed's proxy, learned from comparisons instead of sentences; a comparison
    says nothing about the bias, which is 0.
    """
    analyse = hashed_characters(BUCKETS)
    row, bucket, sign = _differences([(analyse(a), analyse(b)) for a, b in pairs])
    target = torch.tensor(p, dtype=torch.float64)
    weight = torch.zeros(BUCKETS, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=500, line_search_fn="strong_wolfe")

    def lost() -> Tensor:
        optimizer.zero_grad()
        logits = torch.zeros_like(target).index_add(0, row, sign * weight.index_select(0, bucket))
        fitted = binary_cross_entropy_with_logits(logits, target, reduction="sum")
        loss = fitted + RIDGE / 2 * (weight**2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(lost)  # type: ignore[no-untyped-call]
    return Classifier(analyse, weight.detach().numpy(), 0.0)


def save(classifier: Classifier, path: Path) -> None:
    """The file that `Classifier.read` reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        "weight": classifier.weight.astype(np.float32),
        "bias": np.array([classifier.bias], np.float32),
    }
    save_file(arrays, path)


def _differences(
    pairs: Sequence[tuple[list[int], list[int]]],
) -> tuple[Int[Tensor, " place"], Int[Tensor, " place"], Float[Tensor, " place"]]:
    """Where δ is not zero: its row, its bucket, and +1 for the first text's n-grams, −1 else."""
    found = [
        (row, bucket, sign)
        for row, (a, b) in enumerate(pairs)
        for sign, only in ((1.0, {*a} - {*b}), (-1.0, {*b} - {*a}))
        for bucket in sorted(only)
    ]
    rows, buckets, signs = zip(*found, strict=True) if found else ((), (), ())
    return torch.tensor(rows).long(), torch.tensor(buckets).long(), torch.tensor(signs).double()
