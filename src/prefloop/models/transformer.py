"""A Hugging Face causal LM as a policy: it can be sampled, and its log-probs differentiated."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from prefloop.generate import batched
from prefloop.generate.copies import rollout_copy
from prefloop.models import probe, tree
from prefloop.models.load import Loaded
from prefloop.models.padded import padded_logps
from prefloop.models.tree import Tree, tree_logps
from prefloop.types import Prompt, Response, SamplingSettings, Source

log = logging.getLogger("prefloop")


class TransformerPolicy:
    """The language model behind `types.Policy`, and what the learner needs of it.

    `logps` of any responses; or, for a learner that accumulates: `grow` the responses into trees,
    `plan` the micro-batches, `sequence_logps` of each.
    """

    def __init__(
        self,
        loaded: Loaded,
        *,
        version: int = 0,
        source: Source = "policy",
        precision: Literal["auto", "float32", "bfloat16"] = "auto",
        tokens: int = 8192,
        packs: bool | None = None,
    ) -> None:
        self.loaded = loaded
        self.version = version
        self.source: Source = source
        self.precision: Literal["auto", "float32", "bfloat16"] = precision
        self.tokens = tokens
        """token budget of a forward pass in `logps`"""
        self.packs = self._can_pack() if packs is None else packs
        """whether the model takes trees; if not, it sees padded rows"""
        self.on_tokens: Callable[[int], None] | None = None
        """told how many tokens each step of `sample` drew"""
        self._sampler: Any = None

    @property
    def model(self) -> Any:
        """The Hugging Face module, wrapped by peft when it has adapters."""
        return self.loaded.model

    def sample(
        self,
        prompts: Sequence[Prompt],
        *,
        n: int,
        settings: SamplingSettings,
        rng: np.random.Generator,
    ) -> list[list[Response]]:
        """n responses to each prompt, in prompt order."""
        with self.rollouts():
            return batched.sample(
                self._sampler,
                self.loaded.tokenizer,
                prompts,
                n=n,
                settings=settings,
                rng=rng,
                context=self.loaded.context,
                source=self.source,
                version=self.version,
                on_tokens=self.on_tokens,
            )

    @contextmanager
    def rollouts(self) -> Iterator[None]:
        """Keep one copy of the weights, in the sampling precision, for every `sample` inside;
        they must not change meanwhile."""
        if self._sampler is not None:
            yield
            return
        with rollout_copy(self.model, self.precision) as sampler:
            self._sampler = sampler
            try:
                yield
            finally:
                self._sampler = None

    def logps(self, responses: Sequence[Response]) -> Float[Tensor, " response"]:
        """log π(response | prompt), one per response, summed over its tokens in float32."""
        trees, places = grow(responses)
        if not trees:
            return torch.zeros(0, device=self.loaded.device)
        batches = self.plan(trees, self.tokens)
        found = torch.cat([self.sequence_logps([trees[i] for i in batch]) for batch in batches])
        starts = _starts(trees, [i for batch in batches for i in batch])
        order = [starts[t] + branch for t, branch in places]
        return found[torch.tensor(order, device=found.device)]

    def sequence_logps(self, trees: Sequence[Tree]) -> Float[Tensor, " response"]:
        """The same for one micro-batch of trees in one forward pass, in tree order."""
        for one in trees:
            longest = len(one.prompt) + max(map(len, one.responses))
            if longest > self.loaded.context:
                raise ValueError(
                    f"prompt + response must fit the context of {self.loaded.context} tokens, got "
                    f"{longest}; shorten them, or set data.overflow to drop or keep_end"
                )
        return tree_logps(self.model, trees) if self.packs else padded_logps(self.model, trees)

    def plan(self, trees: Sequence[Tree], budget: int) -> list[list[int]]:
        """Micro-batches of tree indices within the token budget, as this model counts tokens."""
        size = (lambda t: t.tokens) if self.packs else (lambda t: t.padded_tokens)
        return tree.plan(trees, budget, size=size)

    def _can_pack(self) -> bool:
        reason = probe.prepare(self.model, self.loaded.context)
        if reason:
            log.warning("learning from padded batches, not from packed trees: %s", reason)
        return reason is None


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


def _starts(trees: Sequence[Tree], order: Sequence[int]) -> dict[int, int]:
    """Where each tree's first response stands when trees follow each other in that order."""
    starts, at = {}, 0
    for index in order:
        starts[index] = at
        at += len(trees[index].responses)
    return starts
