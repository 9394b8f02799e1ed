"""Responses as trees, and the way back to the order they were asked for in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from prefloop.models import tree
from prefloop.models.tree import Tree
from prefloop.types import Response

Compute = Callable[[list[Tree]], Tensor]
"""rows of a micro-batch of trees: one a response, or one a token, in tree order"""


@dataclass(frozen=True)
class Forest:
    """Responses as micro-batches of trees; what is computed of them comes in the order asked."""

    trees: list[Tree]
    places: list[tuple[int, int]]
    """(tree, branch) of each response"""
    batches: list[list[int]]

    def by_response(self, compute: Compute) -> Tensor:
        """One row a response. There must be some."""
        starts = self._starts(lambda tokens: 1)
        return self._found(compute)[self._index([starts[place] for place in self.places])]

    def by_token(self, compute: Compute) -> Tensor:
        """One row a token, response after response. There must be some."""
        starts = self._starts(len)
        spans = [(starts[t, b], len(self.trees[t].responses[b])) for t, b in self.places]
        return self._found(compute)[self._index([s + i for s, n in spans for i in range(n)])]

    def _found(self, compute: Compute) -> Tensor:
        return torch.cat([compute([self.trees[i] for i in batch]) for batch in self.batches])

    def _starts(self, size: Callable[[tuple[int, ...]], int]) -> dict[tuple[int, int], int]:
        """Where each response's rows begin when the micro-batches follow each other."""
        starts, at = {}, 0
        for index in (i for batch in self.batches for i in batch):
            for branch, tokens in enumerate(self.trees[index].responses):
                starts[index, branch] = at
                at += size(tokens)
        return starts

    @staticmethod
    def _index(places: list[int]) -> Tensor:
        return torch.tensor(places, dtype=torch.long)


def plan(trees: Sequence[Tree], budget: int, *, packs: bool) -> list[list[int]]:
    """Micro-batches of tree indices within a budget of tokens, packed or padded."""
    size = (lambda t: t.tokens) if packs else (lambda t: t.padded_tokens)
    return tree.plan(trees, budget, size=size)


def grow(responses: Sequence[Response]) -> tuple[list[Tree], list[tuple[int, int]]]:
    """One tree a distinct prompt, and for each response its (tree, branch)."""
    branches: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    places: list[tuple[int, int]] = []
    trees: dict[tuple[int, ...], int] = {}
    for response in responses:
        _check(response)
        grown = branches.setdefault(response.prompt.tokens, [])
        places.append((trees.setdefault(response.prompt.tokens, len(trees)), len(grown)))
        grown.append(response.tokens)
    return [Tree(prompt, tuple(tokens)) for prompt, tokens in branches.items()], places


def fits(trees: Sequence[Tree], context: int) -> None:
    """ValueError where a prompt with a response is longer than the model's context."""
    for one in trees:
        longest = len(one.prompt) + max(map(len, one.responses))
        if longest > context:
            raise ValueError(
                f"prompt + response must fit the context of {context} tokens, got "
                f"{longest}; shorten them, or set data.overflow to drop or keep_end"
            )


def _check(response: Response) -> None:
    if not response.prompt.tokens:
        raise ValueError(
            f"the prompt {response.prompt.text[:40]!r} has no tokens; encode it first with "
            "store.text"
        )
    if not response.tokens:
        raise ValueError(
            f"an empty response to {response.prompt.text[:40]!r} has no log-probability; it must "
            "have at least one token, EOS"
        )
