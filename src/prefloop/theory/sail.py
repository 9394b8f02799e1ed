"""SAIL's objective over a finite world, and the three parts of its gradient by enumeration.

    J = E_{y, y' ~ π × π} E_{label} F,    F = log σ(βh) of the winner's margin h over the loser's

T1 is the part through which responses are drawn, T2 the part through F (online DPO), T3 the part
through the label where the policy labels its own pairs. Ding et al. 2024 (arXiv:2406.15567).
Pairs of equal responses count.
"""

from collections.abc import Callable
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

Law = Float[Tensor, " response"]
Square = Float[Tensor, "response response"]


def fit(logits: Law, prior: Law, beta: float) -> Square:
    """F of (winner, loser): log σ(β(log π/π₀(winner) − log π/π₀(loser)))."""
    ratio = logits.log_softmax(-1) - prior
    return torch.nn.functional.logsigmoid(beta * (ratio[:, None] - ratio))


def value(
    drawn_by: Law, fitted_by: Law, prior: Law, beta: float, label: Square
) -> Float[Tensor, ""]:
    """J with the pair, F and the label each from its own logits: Σ π π' (P F + (1 − P) F')."""
    law, worth = drawn_by.softmax(-1), fit(fitted_by, prior, beta)
    return law @ (label * worth + label.T * worth.T) @ law


def own_label(logits: Law, prior: Law, beta: float) -> Square:
    """q(row ≻ column) = σ(βh): what the policy itself answers."""
    return fit(logits, prior, beta).exp()


def parts(
    logits: Law, prior: Law, beta: float, label: Square | None = None
) -> tuple[Law, Law, Law]:
    """(T1, T2, T3) of ∇J in the logits; without `label` the policy's own, else T3 is zero."""
    fixed = logits.detach()
    answer = own_label(fixed, prior, beta) if label is None else label
    through: tuple[Callable[[Law], Tensor], ...] = (
        lambda x: value(x, fixed, prior, beta, answer),
        lambda x: value(fixed, x, prior, beta, answer),
        lambda x: value(
            fixed, fixed, prior, beta, own_label(x, prior, beta) if label is None else answer
        ),
    )
    one, two, three = (torch.func.grad(f)(fixed) for f in through)
    return one, two, torch.zeros_like(three) if label is not None else three


def entropy(logits: Law, prior: Law, beta: float) -> Float[Tensor, ""]:
    """E H(σ(βh)) over pairs of π × π, H the entropy of a coin."""
    q, law = own_label(logits, prior, beta), logits.softmax(-1)
    return law @ (-q * q.log() - q.T * q.T.log()) @ law


def surrogate(logits: Law, prior: Law, beta: float, label: Square, *, batch: int, own: bool) -> Law:
    """E of the score term's gradient, mean of sg(F − b) ∇S over a batch, through all batches.

    S = log π(w) + log π(l). b is the mean F over the batch: of the others, or the sample's `own`
    included.
    """
    law, worth = logits.softmax(-1), fit(logits, prior, beta)
    size = len(law)
    score = torch.eye(size, dtype=law.dtype) - law
    outcomes = [
        (2 * law[i] * law[j] * label[i, j], worth[i, j], score[i] + score[j])
        for i, j in product(range(size), repeat=2)
    ]
    total = torch.zeros_like(law)
    for drawn in product(outcomes, repeat=batch):
        chance, fits, scores = zip(*drawn, strict=True)
        f = torch.stack(fits)
        baseline = f.mean() if own else (f.sum() - f) / max(batch - 1, 1)
        push = ((f - baseline)[:, None] * torch.stack(scores)).mean(0)
        total += torch.stack(chance).prod() * push
    return total
