"""How a gate learns from preferences which attributes count for which prompts."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from prefloop.batches import PairScores
from prefloop.losses.reward.bradley_terry import bradley_terry
from prefloop.models.gate import Mixture
from prefloop.rewarding.debias import penalties
from prefloop.rewarding.gating import Gating
from prefloop.rewarding.seen import Weighed

Told = Callable[[int, int], None]


def begun(
    pairs: Weighed,
    responses: Float[np.ndarray, "response attribute"],
    settings: Gating,
    *,
    verbosity: int | None,
    seed: int,
) -> Mixture:
    """A fresh gate, and all that is fixed before it learns: λ, and every unit.

    `responses` are those that λ, m and s are taken from; prompts are brought to mean 0 and a mean
    square of 1.
    """
    attributes, width = responses.shape[1], pairs.prompts.shape[1]
    mixture = Mixture(
        width,
        attributes,
        hidden=settings.hidden,
        layers=settings.layers,
        temperature=settings.temperature,
        verbosity=verbosity,
        seed=seed,
    )
    like = mixture.level
    if verbosity is not None:
        mixture.penalty.copy_(like.new_tensor(penalties(responses, verbosity)))
    debiased = mixture.debiased(torch.tensor(responses, dtype=torch.float64))
    spread, noise = debiased.std(0, correction=0), 1e-6 * np.abs(responses).max(0)
    mixture.level.copy_(debiased.mean(0))
    mixture.unit.copy_(torch.where(spread > torch.tensor(noise), spread, 1.0))
    mixture.center.copy_(like.new_tensor(pairs.prompts.mean(0)))
    about = pairs.prompts - pairs.prompts.mean(0)
    mixture.spread.fill_(float(np.sqrt((about**2).mean())) or 1.0)
    return mixture


def learn(
    mixture: Mixture,
    pairs: Weighed,
    settings: Gating,
    rng: np.random.Generator,
    told: Told = lambda done, total: None,
) -> list[float]:
    """Train the gate in place by Bradley–Terry on the debiased attributes; each step's loss.

    (The published second stage finds λ and then trains on what the heads say without it.)
    """
    optimizer = torch.optim.AdamW(mixture.parameters(), lr=settings.lr, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    losses = []
    for step in range(settings.steps):
        chosen = _batch(len(pairs.p), settings.batch, rng)
        value = loss(mixture, pairs, chosen)
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        losses.append(float(value.detach()))
        told(step + 1, settings.steps)
    return losses


def loss(mixture: Mixture, pairs: Weighed, chosen: Int[np.ndarray, " row"]) -> Float[Tensor, ""]:
    """Mean cross-entropy of the labels and σ(R_a − R_b), over these pairs."""
    like = mixture.level
    prompts, place = np.unique(pairs.which[chosen], return_inverse=True)
    weights = mixture.gate(like.new_tensor(pairs.prompts[prompts]))[place]
    a, b = (mixture.debiased(like.new_tensor(x[chosen])) for x in (pairs.a, pairs.b))
    y = PairScores(a=mixture(a, weights), b=mixture(b, weights), p=like.new_tensor(pairs.p[chosen]))
    return bradley_terry(y).mean()


def _batch(count: int, batch: int, rng: np.random.Generator) -> Int[np.ndarray, " row"]:
    """Pairs drawn without replacement; all of them where there are no more."""
    return np.arange(count) if batch >= count else rng.choice(count, batch, replace=False)
