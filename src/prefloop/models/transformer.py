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
from prefloop.models import probe
from prefloop.models.forest import Compute, Forest, fits, grow, plan
from prefloop.models.load import Loaded
from prefloop.models.padded import padded_logps, padded_token_logps
from prefloop.models.tree import Tree, tree_logps, tree_token_logps
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
        if not responses:
            return torch.zeros(0, device=self.loaded.device)
        return self._forest(responses).by_response(self.sequence_logps)

    def token_logps(
        self, responses: Sequence[Response], temperature: float = 1.0
    ) -> Float[Tensor, " token"]:
        """The same a token, response after response, of softmax(logits / temperature).

        At temperature 1 a response's tokens sum to its `logps`; the untempered law is π.
        """
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        compute = tree_token_logps if self.packs else padded_token_logps
        return self.by_token(responses, lambda trees: compute(self.model, trees, temperature))

    def by_token(self, responses: Sequence[Response], compute: Compute) -> Tensor:
        """What `compute` makes of every token, a micro-batch of trees at a time, in this order."""
        if not responses:
            return torch.zeros(0, device=self.loaded.device)
        return self._forest(responses).by_token(lambda trees: compute(self._fitting(trees)))

    def sequence_logps(self, trees: Sequence[Tree]) -> Float[Tensor, " response"]:
        """`logps` of one micro-batch of trees in one forward pass, in tree order."""
        compute = tree_logps if self.packs else padded_logps
        return compute(self.model, self._fitting(list(trees)))

    def plan(self, trees: Sequence[Tree], budget: int) -> list[list[int]]:
        """Micro-batches of tree indices within the token budget, as this model counts tokens."""
        return plan(trees, budget, packs=self.packs)

    def _forest(self, responses: Sequence[Response]) -> Forest:
        trees, places = grow(responses)
        return Forest(trees, places, self.plan(trees, self.tokens))

    def _fitting(self, trees: list[Tree]) -> list[Tree]:
        fits(trees, self.loaded.context)
        return trees

    def _can_pack(self) -> bool:
        reason = probe.prepare(self.model, self.loaded.context)
        if reason:
            log.warning("learning from padded batches, not from packed trees: %s", reason)
        return reason is None
