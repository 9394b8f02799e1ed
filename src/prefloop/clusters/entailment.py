"""Responses that imply each other, by a natural-language-inference model."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from prefloop import frozen
from prefloop.clusters._rules import (
    CONTRADICTION,
    ENTAILMENT,
    NEUTRAL,
    RULES,
    Labels,
    by_first_appearance,
)
from prefloop.types import Response

if TYPE_CHECKING:
    from torch import Tensor

KINDS = {"contradict": CONTRADICTION, "neutral": NEUTRAL, "entail": ENTAILMENT}
"""how a model's label of that meaning begins"""


@dataclass(frozen=True, kw_only=True)
class Entailment:
    """Who entails whom, asked both ways of every two texts, prompt and response in either slot.

    Kuhn et al. 2023 (arXiv:2302.09664). `strict` is the rule that paper and RLP describe: both ways
    entail, each response joins the first cluster whose first member it is equivalent to. What was
    released differs: `kuhn` (2023) also merges two neutrals, `not_contradicting` (its 2024
    successor's default) merges unless one contradicts or both are neutral; both renumber what was
    numbered already, so that order matters.
    """

    model: str
    """a folder or hub id with labels named contradiction, neutral and entailment"""
    rule: Literal["strict", "not_contradicting", "kuhn"] = "strict"
    max_tokens: int = 512
    """of a pair; a longer one loses the beginnings of its texts, which the prompts are"""
    tokens: int = 8192
    """token budget of a batch, padding included; changes no label"""
    device: str = "auto"
    _model: Any = field(init=False, repr=False, compare=False)
    _tokenizer: Any = field(init=False, repr=False, compare=False)
    _kinds: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        model, tokenizer = frozen.load(
            self.model,
            "AutoModelForSequenceClassification",
            "a model of inference",
            error=ValueError,
            dtype="float32",
        )
        _can_pad(self.model, tokenizer)
        tokenizer.truncation_side = "left"
        object.__setattr__(self, "_kinds", _kinds(self.model, model.config.id2label))
        object.__setattr__(self, "_model", model.to(frozen.device(self.device)))
        object.__setattr__(self, "_tokenizer", tokenizer)

    def clusters(self, responses: Sequence[Response]) -> tuple[int, ...]:
        texts = [r.full_text for r in responses]
        different = list(dict.fromkeys(texts))
        ids = RULES[self.rule](self._labels(different))
        return by_first_appearance([ids[different.index(text)] for text in texts])

    def _labels(self, texts: Sequence[str]) -> Labels:
        """What each text (row) says of each (column); every text entails itself."""
        pairs = list(permutations(range(len(texts)), 2))
        rows = [self._encode(texts[i], texts[j]) for i, j in pairs]
        labels = np.full((len(texts), len(texts)), ENTAILMENT)
        for places in frozen.batches([len(row["input_ids"]) for row in rows], self.tokens):
            found = self._forward([rows[i] for i in places]).argmax(1).tolist()
            for place, label in zip(places, found, strict=True):
                labels[pairs[place]] = self._kinds[label]
        return labels

    def _encode(self, premise: str, hypothesis: str) -> dict[str, list[int]]:
        limit = min(self.max_tokens, frozen.context(self._model, self._tokenizer))
        found = self._tokenizer(premise, hypothesis, truncation=True, max_length=limit)
        return dict(found)

    def _forward(self, rows: Sequence[dict[str, list[int]]]) -> "Tensor":
        import torch

        padded = self._tokenizer.pad(list(rows), return_tensors="pt").to(self._model.device)
        with torch.no_grad():
            logits: Tensor = self._model(**padded).logits
        return logits


def _kinds(path: str, names: dict[int, str]) -> tuple[int, ...]:
    """The meaning of each of the model's labels, by its name."""
    known = [names[i] for i in range(len(names))]
    found = tuple(
        kind for name in known for begins, kind in KINDS.items() if name.lower().startswith(begins)
    )
    if len(known) != len(KINDS) or sorted(found) != sorted(KINDS.values()):
        raise ValueError(
            f"{path} must have three labels named contradiction, neutral and entailment, got "
            f"{known}; give a model of natural-language inference, or name its labels in id2label "
            "of its config.json"
        )
    return found


def _can_pad(path: str, tokenizer: Any) -> None:
    if tokenizer.pad_token is None:
        raise ValueError(
            f"the tokenizer of {path} has no pad_token, so pairs cannot share a batch; name one in "
            "its tokenizer_config.json"
        )
