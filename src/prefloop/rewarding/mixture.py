"""How a gate learns from preferences which attributes count for which prompts."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from math import inf

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from prefloop.batches import PairScores
from prefloop.losses.reward.bradley_terry import bradley_terry
from prefloop.models.gate import Mixture
from prefloop.rewarding.debias import penalties
from prefloop.rewarding.gating import Gating
from prefloop.rewarding.seen import Weighed

Told = Callable[[int, int], None]
LOOKS = 200
"""how often watched pairs are looked at, at most"""


@dataclass(frozen=True, kw_only=True)
class Learned:
    """How it went."""

    losses: list[float]
    """each step's"""
    kept: int
    """the step it ends at; 0 is all attributes nearly alike"""
    fitted: int
    """pairs learned from"""
    watched: int
    """pairs that chose that step"""
    loss_watched: float | None
    """their mean loss there"""


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
) -> Learned:
    """Train the gate in place by Bradley–Terry on the debiased attributes.

    (The published second stage finds λ and then trains on what the heads say without it.) It ends
    as it stood where pairs of prompts that it did not learn from were likeliest.
    """
    fitted, watched = _watching(pairs, settings.watch, rng)
    optimizer = torch.optim.AdamW(mixture.parameters(), lr=settings.lr, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    best = _Best(mixture, watched)
    losses = []
    for step in range(1, settings.steps + 1):
        value = loss(mixture, fitted, _batch(len(fitted.p), settings.batch, rng))
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        losses.append(float(value.detach()))
        if step % max(1, settings.steps // LOOKS) == 0:
            best.look(step)
        told(step, settings.steps)
    kept, likelihood = best.restored(settings.steps)
    return Learned(
        losses=losses,
        kept=kept,
        fitted=len(fitted.p),
        watched=len(watched.p),
        loss_watched=likelihood,
    )


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


def _watching(pairs: Weighed, share: float, rng: np.random.Generator) -> tuple[Weighed, Weighed]:
    """(to learn from, to watch): so many of the prompts, with all their pairs."""
    count = len(pairs.prompts)
    watched: Bool[np.ndarray, " pair"] = np.isin(
        pairs.which, rng.permutation(count)[: int(share * count)]
    )
    return pairs.among(~watched), pairs.among(watched)


class _Best:
    """The gate as it stood at the least loss on watched pairs; without any, as it ends."""

    def __init__(self, mixture: Mixture, watched: Weighed) -> None:
        self.mixture, self.watched = mixture, watched
        self.step, self.loss = 0, inf
        self.state: dict[str, Tensor] = {}
        self.look(0)

    def look(self, step: int) -> None:
        """Is it better than it ever was?"""
        if not len(self.watched.p):
            return
        with torch.no_grad():
            found = float(loss(self.mixture, self.watched, np.arange(len(self.watched.p))))
        if found < self.loss:
            self.step, self.loss = step, found
            self.state = deepcopy(self.mixture.state_dict())

    def restored(self, last: int) -> tuple[int, float | None]:
        """Put it back as it was: the step, and the loss."""
        if not self.state:
            return last, None
        self.mixture.load_state_dict(self.state)
        return self.step, self.loss
