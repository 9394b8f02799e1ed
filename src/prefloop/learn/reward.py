"""The reward learner: answers, ranked lists or ratings, in a committed order, to a reward model."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from prefloop.batches import SplitScores
from prefloop.config import ConfigError, Reward
from prefloop.learn import families
from prefloop.learn.collate import prompt_of
from prefloop.learn.facts import Facts, Row
from prefloop.learn.learner import Plan, autocast
from prefloop.learn.objective import Loss, Objective
from prefloop.learn.optimizer import (
    Trained,
    adamw,
    learning_rate,
    load_state_tensors,
    state_tensors,
)
from prefloop.learn.step import Stepper, Tally
from prefloop.learn.terms import Anchor, Term, Turn
from prefloop.learn.values import Logps
from prefloop.types import Response


def check_heads(settings: Reward, loss: Loss) -> None:
    """ConfigError unless there are as many heads as the loss and the aggregate are about."""
    splits = families.family(loss) is SplitScores
    if splits and (settings.heads, settings.aggregate) != (2, "first"):
        raise ConfigError(
            f"reward.loss={settings.loss.name} has a head for quality and one for length, got "
            f"reward.heads={settings.heads} and reward.aggregate={settings.aggregate}; set "
            "reward.heads=2 and reward.aggregate=first"
        )
    if settings.aggregate == "first" and not splits:
        raise ConfigError(
            f"reward.aggregate=first leaves out what the other heads of reward.loss="
            f"{settings.loss.name} learn; set mean, or reward.loss=odin"
        )
    if settings.aggregate != "mean" and settings.heads < 2:
        raise ConfigError(
            f"reward.aggregate={settings.aggregate} is of an ensemble, got reward.heads=1; set "
            "reward.heads=4 or so, or reward.aggregate=mean"
        )


class RewardLearner:
    """Trains a `models.reward.RewardModel`, and can be stopped and restored between steps.

    The mean loss over rows and heads, plus the settings' anchor, plus the terms, which a step
    reports under their names.
    """

    def __init__(
        self,
        model: Any,
        loss: Loss,
        settings: Reward,
        *,
        terms: Mapping[str, Term] | None = None,
    ) -> None:
        self.model, self.settings = model, settings
        self.head = model.head
        self.began: Tensor = self.head.weight.detach().clone()
        self.terms = {**self._anchored(), **(terms or {})}
        self.number, self.rows = 0, 0
        device = self.head.weight.device
        self.stepper = Stepper(
            says=self._scores,
            optimizer=adamw(self.trained, settings, self._scales),
            objective=Objective(loss),
            budget=settings.tokens,
            max_grad_norm=settings.max_grad_norm,
            autocast=autocast(settings.precision, device),
            heads=self.head.weight.shape[0],
            also=self._also,
        )

    @property
    def trained(self) -> Trained:
        """The reward model, and what the terms bring."""
        brought = (term.trained.items() for term in self.terms.values())
        return {"": self.model.model, **{name: part for parts in brought for name, part in parts}}

    @property
    def _scales(self) -> dict[str, float]:
        return {"views": self.settings.views_lr / self.settings.lr}

    def plan(self, rows: Sequence[Row], seed: int, round: int) -> Plan:
        """What is said of one prompt stays together."""
        return Plan.of([prompt_of(row) for row in rows], self.settings, seed, round)

    def steps(self, rows: Sequence[Row], plan: Plan, *, done: int = 0) -> Iterator[Tally]:
        """Take the plan's steps from number `done` on, yielding each one's tally."""
        self.rows, total = len(rows), len(plan.batches)
        for number in range(done, total):
            self.number = number
            chosen = [rows[i] for i in plan.batches[number]]
            lr = learning_rate(self.settings, number, total)
            yield self.stepper.step(chosen, Facts(ref={}), lr)

    def state_dict(self) -> dict[str, Tensor]:
        """The optimizer's moments, by parameter name, and where the heads began."""
        moments = state_tensors(self.stepper.optimizer, self.trained)
        return moments | {"began/head": self.began.clone()}

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Put them back."""
        moments = {k: v for k, v in tensors.items() if not k.startswith("began/")}
        load_state_tensors(self.stepper.optimizer, self.trained, moments)
        self.began.copy_(tensors["began/head"])

    def _scores(self, responses: Sequence[Response]) -> Logps:
        place = {r.id: i for i, r in enumerate(responses)}
        return Logps(values=self.model.scores(responses), place=place)

    def _anchored(self) -> dict[str, Term]:
        weight = self.settings.anchor
        return {"anchor": Anchor(head=self.head, began=self.began, weight=weight)} if weight else {}

    def _also(self, rows: Sequence[Row], budget: int) -> dict[str, float]:
        """The gradients of the terms."""
        turn = Turn(
            number=self.number,
            rows=rows,
            total=self.rows,
            budget=budget,
            autocast=self.stepper.autocast,
        )
        return {name: term.gradient(turn) for name, term in self.terms.items()}
