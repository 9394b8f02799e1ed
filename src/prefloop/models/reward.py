"""A reward model or a critic: a causal backbone with linear heads, on the policy's packed trees."""

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from prefloop import config
from prefloop.models import probe
from prefloop.models.adapters import Shared, Trained, Wardrobe
from prefloop.models.forest import Forest, fits, grow, plan
from prefloop.models.heads import (
    check_head,
    classifier,
    copied,
    describe,
    first_head,
    fresh_head,
    in_units,
    mean_head,
    read,
    shell,
)
from prefloop.models.load import Kind, Loaded, architecture, bare, drop_nothing, location, merged
from prefloop.models.lora import adapted
from prefloop.models.tokens import Reader, reader
from prefloop.models.transformer import TransformerPolicy
from prefloop.models.tree import Tree, backbone
from prefloop.models.trunk import end_states, predictor_states
from prefloop.oracles._heads import aggregated
from prefloop.types import Missing, Response

log = logging.getLogger("prefloop")

Aggregate = Literal["mean", "min", "lower", "first"]
LACKS = (
    "that its scores need, which would come from random weights; train a fresh head, or give a "
    "folder that was trained and saved for sequence classification"
)


class RewardModel:
    """Linear heads on a causal backbone, read at a response's last token, EOS included.

    A score is (aggregate of the heads − shift) / gain. Trained in full it is an ordinary Hugging
    Face sequence classifier; with adapters, it is adapters and heads of its own on the backbone
    that the policy uses, which is nowhere copied. Its trunk starts as the policy's stands.
    """

    def __init__(
        self,
        loaded: Loaded,
        *,
        packs: bool,
        shared: Shared | None = None,
        aggregate: Aggregate = "mean",
        shift: float = 0.0,
        tokens: int = 8192,
        reader: Reader | None = None,
    ) -> None:
        self.loaded, self.packs, self.shared, self.reader = loaded, packs, shared, reader
        self.aggregate: Aggregate = aggregate
        self.shift, self.gain = shift, 1.0
        self.tokens = tokens
        """token budget of a forward pass"""
        if aggregate != "mean" and self.head.out_features < 2:
            raise ValueError(
                f"aggregate {aggregate!r} needs at least 2 heads to compare, got 1; set "
                "reward.heads to 2 or more, or reward.aggregate to mean"
            )

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
        """Fresh heads, or heads that say zero, on the policy's trunk as it stands."""
        family = deepcopy(backbone(policy.model).config)
        head = fresh_head(shell(family).score.in_features, heads, seed)
        if zero:
            nn.init.zeros_(head.weight)
        head = head.to(policy.loaded.device)
        loaded, shared = policy.loaded, None
        if hasattr(policy.model, "peft_config"):
            wardrobe = Wardrobe(policy.model)
            shared = Shared(wardrobe, Trained(wardrobe.copied(), head))
        else:
            model = classifier(copied(backbone(policy.model)), head)
            drop_nothing(model)
            loaded = replace(loaded, model=model)
        return cls(
            loaded, packs=policy.packs, shared=shared, aggregate=aggregate, tokens=policy.tokens
        )

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
        reads: Any = None,
    ) -> "RewardModel":
        """A sequence classifier's folder or hub id; or any causal model's, under `fresh` heads.

        Loaded as `settings` say, whatever their path. `reads` is the tokenizer that responses'
        tokens are of: where it is another than the model's own, texts are encoded anew.
        """
        loaded = bare(settings.model_copy(update={"path": path}), _kind(fresh))
        model, said = loaded.model, loaded.model.config
        check_head(model)
        if fresh is not None:
            model.score = fresh_head(model.score.in_features, fresh, seed).to(loaded.device)
        reason = probe.prepare_trunk(model, loaded.context)
        if reason:
            log.warning("rewards from padded batches, not from packed trees: %s", reason)
        shared = None
        if settings.adapter != "none":
            trunk = adapted(backbone(model), settings, None).train()
            wardrobe = Wardrobe(trunk)
            own = Trained(wardrobe.now().parts, model.score.float().requires_grad_(True))
            loaded, shared = replace(loaded, model=trunk), Shared(wardrobe, own)
        kept = {} if fresh is not None else vars(said)
        return cls(
            loaded,
            packs=reason is None,
            shared=shared,
            aggregate=aggregate or kept.get("prefloop_aggregate", "mean"),
            shift=kept.get("prefloop_shift", 0.0),
            tokens=tokens,
            reader=reader(loaded.tokenizer, reads, loaded.context, settings.template),
        )

    @property
    def model(self) -> Any:
        """What is trained, the heads as its `score`."""
        return self.loaded.model if self.shared is None else self.shared.own

    @property
    def head(self) -> nn.Linear:
        """The heads, a row each."""
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

    def predictors(self, responses: Sequence[Response]) -> Float[Tensor, "token width"]:
        """The backbone's state before each token is drawn, response after response."""
        if not responses:
            return self.head.weight.new_zeros(0, self.head.in_features)
        return self._forest(responses).by_token(self._run(predictor_states))

    def values(self, responses: Sequence[Response]) -> Float[Tensor, " token"]:
        """As a critic: the first head, normalised, before each token is drawn; flat."""
        if self.reader is not None:
            raise ValueError(
                "a critic needs a value for every token of the policy's, and this reward model has "
                "another tokenizer; set credit.critic=zero, or reward.path to a backbone with the "
                "policy's tokenizer"
            )
        return (read(self.head, self.predictors(responses))[:, 0] - self.shift) / self.gain

    def beside(
        self, policy: TransformerPolicy, responses: Sequence[Response], temperature: float
    ) -> tuple[Float[Tensor, " token"], Float[Tensor, " token"]]:
        """As a critic: the policy's `token_logps`, and `values`."""
        return policy.token_logps(responses, temperature), self.values(responses)

    @torch.no_grad()
    def score(self, responses: Sequence[Response]) -> list[float | Missing]:
        """The heads' aggregate, normalised; Missing where a response does not fit the context."""
        found = [self._misfit(response) for response in responses]
        fitting = [r for r, missing in zip(responses, found, strict=True) if missing is None]
        values = ((self._aggregated(fitting) - self.shift) / self.gain).tolist()
        rest = iter(values)
        return [_finite(next(rest)) if missing is None else missing for missing in found]

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
        if not deviation > 1e-6 * abs(mean):
            raise ValueError(
                f"{len(found)} responses all score {mean:g}, so no gain gives them a standard "
                "deviation of 1; give different responses, or train the head first"
            )
        self.shift, self.gain = mean, deviation

    def critic(self) -> "RewardModel":
        """An independent copy whose one head says what the scores do, in the same units.

        An ensemble's is the mean of its heads, whatever their aggregate; but for the first alone.
        """
        one = first_head if self.aggregate == "first" else mean_head
        head, loaded, shared = in_units(one(self.head), self.gain), self.loaded, None
        if self.shared is not None:
            own = copied(self.shared.own)
            own.score = head
            shared = Shared(self.shared.wardrobe, own)
        else:
            model = copied(self.model)
            model.score, model.config.num_labels = head, 1
            loaded = replace(loaded, model=model)
        shift = self.shift / self.gain
        return RewardModel(loaded, packs=self.packs, shared=shared, shift=shift, tokens=self.tokens)

    def save(self, folder: Path) -> None:
        """An ordinary Hugging Face folder: adapters merged, the gain in the heads' weights.

        What a plain classifier says of it are the scores, but for the shift and the aggregate,
        which are in its config.json as prefloop_shift and prefloop_aggregate.
        """
        head = in_units(self.head, self.gain)
        if self.shared is None:
            model, weights = self.model, self.model.state_dict()
            weights |= {f"score.{name}": value for name, value in head.state_dict().items()}
        else:
            with self.shared.worn():
                trunk = backbone(merged(self.loaded.model))
            model, weights = classifier(trunk, head), None
        describe(model.config, self.loaded.tokenizer)
        model.config.prefloop_shift = self.shift / self.gain
        model.config.prefloop_aggregate = self.aggregate
        model.save_pretrained(folder, state_dict=weights)
        self.loaded.tokenizer.save_pretrained(folder)

    def _aggregated(self, responses: Sequence[Response]) -> Float[Tensor, " response"]:
        return aggregated(self.scores(responses), self.aggregate)

    def _run(self, states: Callable[..., Tensor]) -> Callable[[list[Tree]], Tensor]:
        def run(trees: list[Tree]) -> Tensor:
            with nullcontext() if self.shared is None else self.shared.worn():
                return states(self.loaded.model, trees, packs=self.packs)

        return run

    def _forest(self, responses: Sequence[Response]) -> Forest:
        trees, places = grow([self._read(response) for response in responses])
        fits(trees, self.loaded.context)
        return Forest(trees, places, plan(trees, self.tokens, packs=self.packs))

    def _read(self, response: Response) -> Response:
        """The response in the model's own tokens."""
        found = response if self.reader is None else self.reader(response)
        if found is None:
            raise ValueError(
                f"a response to {response.prompt.text[:40]!r} does not fit the reward model's "
                f"context of {self.loaded.context} tokens; shorten it, or give another reward.path"
            )
        return found

    def _misfit(self, response: Response) -> Missing | None:
        limit = self.loaded.context
        found = response if self.reader is None else self.reader(response)
        if found is None:
            return Missing(f"it does not fit {limit} tokens")
        count = len(found.prompt.tokens) + len(found.tokens)
        return None if count <= limit else Missing(f"{count} tokens do not lie in 1..{limit}")


def width_of(path: str, settings: config.Model) -> int:
    """How wide a backbone's states are; ConfigError where it cannot be a reward model's."""
    asked = settings.model_copy(update={"path": path})
    return int(architecture(location(path), asked, _kind(1)).get_text_config().hidden_size)


def _kind(fresh: int | None) -> Kind:
    return Kind(
        auto=AutoModelForSequenceClassification,
        known=MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
        noun="sequence classifier",
        setting="reward.path",
        lacks=LACKS,
        heads=fresh,
    )


def _finite(value: float) -> float | Missing:
    return value if isfinite(value) else Missing(f"expected a number, got {value}")
