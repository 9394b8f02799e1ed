"""Policy gradients over every text that could be sampled, each counted by its chance.

The policy has a logit for every token after every beginning, so that any law of texts is within its
reach, and the critic a value for every beginning.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod

import torch
from jaxtyping import Float, Int
from torch import Tensor

from prefloop.batches import TokenLogps
from prefloop.config import Credit
from prefloop.learn import credit

Text = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Method:
    """A loss, what makes its advantages, and how many texts of a prompt are drawn together."""

    loss: Callable[[TokenLogps], Tensor]
    settings: Credit
    samples: int = 1


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Texts with a reward each, where they begin, and what the KL costs."""

    texts: tuple[Text, ...]
    prior: Float[Tensor, "state token"]
    """logits of π₀"""
    reward: Float[Tensor, " response"]
    beta: float
    states: dict[Text, int] = field(init=False)
    """every beginning of a text, numbered"""

    def __post_init__(self) -> None:
        beginnings = {text[:k]: None for text in self.texts for k in range(len(text))}
        object.__setattr__(self, "states", {s: i for i, s in enumerate(sorted(beginnings))})

    def index(self, drawn: Sequence[int]) -> Int[Tensor, "what token"]:
        """State, token and place among the drawn of every token of these texts."""
        rows = [
            (self.states[self.texts[y][:k]], token, place)
            for place, y in enumerate(drawn)
            for k, token in enumerate(self.texts[y])
        ]
        return torch.tensor(rows).T.contiguous()

    def logps(self, table: Float[Tensor, "state token"]) -> Float[Tensor, " response"]:
        """log π of every text."""
        state, token, place = self.index(range(len(self.texts)))
        zero = table.new_zeros(len(self.texts))
        return zero.index_add(0, place, table.log_softmax(-1)[state, token])

    def objective(self, table: Float[Tensor, "state token"]) -> Float[Tensor, ""]:
        """J = E r − β KL(π‖π₀)."""
        logp = self.logps(table)
        return logp.exp() @ (self.reward - self.beta * (logp - self.logps(self.prior)))

    def values(self, table: Float[Tensor, "state token"]) -> Float[Tensor, " state"]:
        """The true critic: what is still to come after each beginning, the KL included."""
        step, ref = table.log_softmax(-1), self.prior.log_softmax(-1)
        found = table.new_zeros(len(self.states))
        ends = dict(zip(self.texts, self.reward, strict=True))
        for state in sorted(self.states, key=lambda s: -len(s)):
            row = self.states[state]
            for token in range(table.shape[1]):
                after = (*state, token)
                gain = ends[after] if after in ends else found[self.states[after]]
                paid = self.beta * (step[row, token] - ref[row, token])
                found[row] += step[row, token].exp() * (gain - paid)
        return found


@dataclass(frozen=True, kw_only=True)
class Round:
    """All groups of texts a prompt could get, as the round began, and their chances."""

    index: Int[Tensor, "what token"]
    old: Float[Tensor, " token"]
    advantage: Float[Tensor, " token"]
    chance: Float[Tensor, " token"]
    """of the token's group, over its texts"""
    old_value: Float[Tensor, " token"] | None
    returns: Float[Tensor, " token"] | None

    def expected(
        self,
        loss: Callable[[TokenLogps], Tensor],
        table: Float[Tensor, "state token"],
        critic: Float[Tensor, " state"] | None = None,
    ) -> Float[Tensor, ""]:
        """E of the mean over a group's texts of the loss, summed over a text's tokens."""
        state, token, place = self.index
        y = TokenLogps(
            y=table.log_softmax(-1)[state, token],
            old=self.old,
            advantage=self.advantage,
            response=place,
            mean_length=table.new_tensor(1.0),
            value=None if critic is None else critic[state],
            old_value=self.old_value,
            returns=self.returns,
        )
        return (self.chance * loss(y)).sum()


@torch.no_grad()
def begin(
    scene: Scene,
    method: Method,
    table: Float[Tensor, "state token"],
    critic: Float[Tensor, " state"] | None = None,
) -> Round:
    """Draw every group there is, and credit its tokens."""
    groups = list(product(range(len(scene.texts)), repeat=method.samples))
    drawn = [y for group in groups for y in group]
    index = scene.index(drawn)
    lengths = [len(scene.texts[y]) for y in drawn]
    old, ref = (x.log_softmax(-1)[index[0], index[1]] for x in (table, scene.prior))
    found, _ = credit.credit(
        scene.reward[drawn].tolist(),
        torch.split(old, lengths),
        torch.split(ref, lengths),
        values=None if critic is None else torch.split(critic[index[0]], lengths),
        prompts=[group for group in range(len(groups)) for _ in range(method.samples)],
        finished=[True] * len(drawn),
        settings=method.settings,
        beta=scene.beta,
    )
    law = scene.logps(table).exp().tolist()
    chances = [prod(law[y] for y in group) / method.samples for group in groups for _ in group]
    return Round(
        index=index,
        old=old,
        advantage=torch.cat([a.advantage for a in found]),
        chance=table.new_tensor(chances)[index[2]],
        old_value=_joined([a.value for a in found]),
        returns=_joined([a.returns for a in found]),
    )


def ascent(
    scene: Scene,
    method: Method,
    table: Float[Tensor, "state token"],
    critic: Float[Tensor, " state"] | None = None,
) -> Float[Tensor, "state token"]:
    """Minus the expected gradient of a round's first step."""
    now = begin(scene, method, table, critic)
    leaf = table.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(now.expected(method.loss, leaf, critic), leaf)
    return -slope


def train(
    scene: Scene, method: Method, *, rounds: int = 60, steps: int = 4, lr: float = 0.1
) -> Float[Tensor, " response"]:
    """log π of every text after so many rounds of Adam from π₀, a critic learned along the way."""
    table = scene.prior.clone().requires_grad_()
    has_critic = method.settings.estimator == "gae"
    critic = table.new_zeros(len(scene.states)).requires_grad_() if has_critic else None
    learned = [table] if critic is None else [table, critic]
    optimizer = torch.optim.Adam(learned, lr=lr)
    for number in range(rounds):
        optimizer.param_groups[0]["lr"] = lr * (1 - number / rounds)
        now = begin(scene, method, table, critic)
        for _ in range(steps):
            optimizer.zero_grad()
            now.expected(method.loss, table, critic).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return scene.logps(table.detach())


def _joined(columns: Sequence[Tensor | None]) -> Tensor | None:
    found = [column for column in columns if column is not None]
    return torch.cat(found) if found else None
