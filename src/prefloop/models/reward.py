"""A reward model or a critic: a causal backbone with linear heads, on the policy's packed trees."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from prefloop import config
from prefloop.models import probe
from prefloop.models.forest import Forest, fits, grow, plan
from prefloop.models.heads import classifier, copied, fresh_head, read
from prefloop.models.load import Kind, Loaded, bare
from prefloop.models.transformer import TransformerPolicy
from prefloop.models.tree import Tree, backbone
from prefloop.models.trunk import end_states, predictor_states
from prefloop.types import Missing, Response

Aggregate = Literal["mean", "min", "lower"]


class RewardModel:
    """A causal backbone whose linear heads are read at a response's last token, EOS included.

    Scores are (heads' aggregate − shift) / gain. What is trained is `model`; an ordinary Hugging
    Face sequence classifier.
    """

    def __init__(
        self,
        loaded: Loaded,
        *,
        packs: bool,
        aggregate: Aggregate = "mean",
        shift: float = 0.0,
        gain: float = 1.0,
        tokens: int = 8192,
    ) -> None:
        self.loaded, self.packs = loaded, packs
        self.aggregate: Aggregate = aggregate
        self.shift, self.gain = shift, gain
        self.tokens = tokens
        """token budget of a forward pass"""

    @classmethod
    def of(
        cls,
        policy: TransformerPolicy,
        *,
        heads: int = 1,
        seed: int = 0,
        zero: bool = False,
        aggregate: Aggregate = "mean",
    ) -> "RewardModel":
        """A copy of the policy's backbone as it stands, with fresh heads, or with zero ones."""
        trunk = copied(backbone(policy.model))
        head = fresh_head(trunk.config.get_text_config().hidden_size, heads, seed)
        if zero:
            nn.init.zeros_(head.weight)
        model = classifier(trunk, head.to(policy.loaded.device), policy.loaded.tokenizer)
        loaded = replace(policy.loaded, model=model)
        return cls(loaded, packs=policy.packs, aggregate=aggregate, tokens=policy.tokens)

    @classmethod
    def load(
        cls,
        path: str,
        *,
        settings: config.Model,
        fresh: int | None = None,
        seed: int = 0,
        aggregate: Aggregate | None = None,
        tokens: int = 8192,
    ) -> "RewardModel":
        """A sequence classifier's folder or hub id; or any causal model's, with `fresh` heads."""
        kind = Kind(
            auto=AutoModelForSequenceClassification,
            known=MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
            noun="sequence classifier",
            setting="reward.path",
            lacks="of a reward model, whose scores would come from random weights; train a fresh "
            "head on it, or give a folder that was trained and saved for sequence classification",
            heads=fresh,
        )
        loaded = bare(settings.model_copy(update={"path": path}), kind)
        packs = probe.prepare_trunk(loaded.model, loaded.context) is None
        said = loaded.model.config
        if fresh is not None:
            width = loaded.model.score.in_features
            loaded.model.score = fresh_head(width, fresh, seed).to(loaded.device)
            return cls(loaded, packs=packs, aggregate=aggregate or "mean", tokens=tokens)
        return cls(
            loaded,
            packs=packs,
            aggregate=aggregate or getattr(said, "prefloop_aggregate", "mean"),
            shift=getattr(said, "prefloop_shift", 0.0),
            tokens=tokens,
        )

    @property
    def model(self) -> Any:
        """What is trained, heads included."""
        return self.loaded.model

    @property
    def head(self) -> nn.Linear:
        """The heads, one row each."""
        found: nn.Linear = self.model.score
        return found

    def scores(self, responses: Sequence[Response]) -> Float[Tensor, "response head"]:
        """What every head says of each response, in float32, before shift and gain."""
        return read(self.head, self.states(responses))

    def states(self, responses: Sequence[Response]) -> Float[Tensor, "response width"]:
        """The backbone's state at each response's last token."""
        if not responses:
            return self.head.weight.new_zeros(0, self.head.in_features)
        return self._forest(responses).by_response(self._run(end_states))

    def values(self, responses: Sequence[Response]) -> Float[Tensor, " token"]:
        """As a critic: the first head, normalised, before each token is drawn; flat."""
        if not responses:
            return self.head.weight.new_zeros(0)
        states = self._forest(responses).by_token(self._run(predictor_states))
        return (read(self.head, states)[:, 0] - self.shift) / self.gain

    @torch.no_grad()
    def score(self, responses: Sequence[Response]) -> list[float | Missing]:
        """The heads' aggregate, normalised."""
        found = (self._aggregated(responses) - self.shift) / self.gain
        return [*found.tolist()]

    @torch.no_grad()
    def normalise(self, responses: Sequence[Response]) -> None:
        """Choose shift and gain so that these responses' scores have mean 0 and deviation 1."""
        found = self._aggregated(responses).double()
        if len(found) < 2:
            raise ValueError(
                f"scores are normalised on at least 2 responses, got {len(found)}; give samples of "
                "the policy that training starts from"
            )
        mean, deviation = float(found.mean()), float(found.std(correction=0))
        if not deviation > 1e-6 * max(1e-6, abs(mean)):
            raise ValueError(
                f"{len(found)} responses all score {mean:g}, so no gain gives them a standard "
                "deviation of 1; give different responses, or train the head first"
            )
        self.shift, self.gain = mean, deviation

    def critic(self) -> "RewardModel":
        """An independent copy whose one head says what the scores do, in the same units.

        An ensemble's is the mean of its heads.
        """
        model = copied(self.model)
        head = nn.Linear(self.head.in_features, 1, bias=False).to(self.head.weight)
        with torch.no_grad():
            head.weight.copy_(self.head.weight.mean(0, keepdim=True) / self.gain)
        model.score, model.config.num_labels = head, 1
        return RewardModel(
            replace(self.loaded, model=model),
            packs=self.packs,
            shift=self.shift / self.gain,
            tokens=self.tokens,
        )

    def save(self, folder: Path) -> None:
        """An ordinary Hugging Face folder whose logits are the scores, but for the shift."""
        architecture = self.model.config
        architecture.prefloop_shift = self.shift / self.gain
        architecture.prefloop_aggregate = self.aggregate
        weights = self.model.state_dict()
        weights["score.weight"] = weights["score.weight"] / self.gain
        self.model.save_pretrained(folder, state_dict=weights)
        self.loaded.tokenizer.save_pretrained(folder)

    def _aggregated(self, responses: Sequence[Response]) -> Float[Tensor, " response"]:
        scores = self.scores(responses)
        if self.aggregate == "min":
            return scores.amin(1)
        spread = scores.std(1, correction=1) if self.aggregate == "lower" else 0
        return scores.mean(1) - spread

    def _run(self, states: Callable[..., Tensor]) -> Callable[[list[Tree]], Tensor]:
        return lambda trees: states(self.model, trees, packs=self.packs)

    def _forest(self, responses: Sequence[Response]) -> Forest:
        trees, places = grow(responses)
        fits(trees, self.loaded.context)
        return Forest(trees, places, plan(trees, self.tokens, packs=self.packs))
