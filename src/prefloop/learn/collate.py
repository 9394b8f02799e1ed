"""From rows to trees of tokens, and to micro-batches of trees.

A tree is a prompt with all of its responses that the batch needs: the prompt is computed once. The
learner never sees text; it sees the sampler's own tokens.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from prefloop.learn.facts import Facts, Row, name_of, responses_of
from prefloop.types import Response


def needs_of(part: object) -> tuple[str, ...]:
    """What the file of a loss or a bonus says it cannot do without."""
    target = getattr(part, "func", part)
    return tuple(getattr(sys.modules.get(target.__module__), "needs", ()))


@dataclass(frozen=True, kw_only=True)
class Tree:
    """The rows of a batch that share one prompt, and the responses their bonuses are on."""

    rows: tuple[Row, ...]
    samples: tuple[Response, ...] = ()

    @property
    def responses(self) -> tuple[Response, ...]:
        """The distinct responses, those of the rows first, in the order first named."""
        named = [*(r for row in self.rows for r in responses_of(row)), *self.samples]
        return tuple({r.id: r for r in named}.values())

    @property
    def size(self) -> int:
        """Tokens: the prompt once, every response once."""
        tokens = sum(len(r.tokens) for r in self.responses)
        return len(self.responses[0].prompt.tokens) + tokens


def trees(rows: Sequence[Row], facts: Facts | None = None) -> list[Tree]:
    """Group rows by prompt, in the order the prompts are first seen."""
    groups: dict[tuple[int, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(prompt_of(row), []).append(row)
    samples = facts.samples if facts else {}
    return [
        Tree(
            rows=tuple(group),
            samples=tuple(r for row in group for r, _ in samples.get(name_of(row), ())),
        )
        for group in groups.values()
    ]


def prompt_of(row: Row) -> tuple[int, ...]:
    """The tokens of the row's prompt; ValueError where its responses answer different ones."""
    prompt, *others = {r.prompt.tokens for r in responses_of(row)}
    if others:
        raise ValueError(f"the responses of {name_of(row)!r} answer different prompts")
    return prompt


def micro_batches(forest: Sequence[Tree], budget: int) -> list[list[Tree]]:
    """Trees packed into micro-batches of at most `budget` tokens, longest first.

    A tree longer than the budget gets a micro-batch of its own.
    """
    plan: list[list[Tree]] = []
    room = 0
    for tree in sorted(forest, key=lambda t: -t.size):
        if tree.size > room:
            plan.append([])
            room = budget
        plan[-1].append(tree)
        room -= tree.size
    return plan
