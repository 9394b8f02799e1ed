"""The implicit reward of a language model that was tuned on preferences."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from prefloop.oracles._border import finite
from prefloop.types import Missing, Response


@dataclass(frozen=True, kw_only=True)
class Implicit:
    """The reward that a tuned policy is optimal for: how much likelier it made a response.

        r̂ = β [log π(y|x) − log π₀(y|x)]

    Rafailov et al. 2023, eq. 5 (arXiv:2305.18290), whose β log Z(x) is not there: only differences
    between responses to one prompt mean anything. RewardBench (Lambert et al. 2024,
    arXiv:2403.13787) rates DPO models by `sum`, and by the two `free` ones, β log π(y|x), where π₀
    is unknown; those prefer what was likely before. `mean` and `free_mean` are per token.
    """

    path: str
    """π, a folder or hub id of a causal LM, such as a run's policy/"""
    reference: str | None = None
    """π₀, the model that tuning started from; none for the `free` ones"""
    beta: float = 0.1
    """the KL weight that π was tuned with: the unit of the scores, which changes no order"""
    normalize: Literal["sum", "mean", "free", "free_mean"] = "sum"
    template: Literal["auto", "chat", "plain"] = "auto"
    max_tokens: int | None = None
    """longest prompt + response, beyond which there is no score; default: the models' context"""
    tokens: int = 8192
    """token budget of a batch; never changes a score beyond rounding"""
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """of the weights; auto is float32"""
    trust_remote_code: bool = False
    reads: Any = None
    """the tokenizer that responses' tokens are of, which a run supplies: where it is π's, they are
    read untouched; else texts are encoded anew"""
    _policy: Any = field(init=False, repr=False, compare=False)
    _reference: Any = field(init=False, repr=False, compare=False, default=None)
    _reader: Any = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        self._check()
        object.__setattr__(self, "_policy", self._load("path", self.path))
        if self.reference is not None:
            object.__setattr__(self, "_reference", self._load("reference", self.reference))
            self._check_vocabularies()
        from prefloop.models.tokens import Reader, same_tokenizer
        from prefloop.store.text import Encoder

        own = self._policy.loaded.tokenizer
        if self.reads is None or not same_tokenizer(own, self.reads):
            encoder = Encoder(own, context=self._limit, template=self.template, overflow="drop")
            object.__setattr__(self, "_reader", Reader(encoder))

    def score(self, responses: Sequence[Response]) -> list[float | Missing]:
        found = [self._read(response) for response in responses]
        values = iter(self._values([r for r in found if isinstance(r, Response)]))
        return [r if isinstance(r, Missing) else finite(next(values)) for r in found]

    def _values(self, responses: Sequence[Response]) -> list[float]:
        import torch

        with torch.no_grad():
            gain = self._policy.logps(responses).double()
            if self._reference is not None:
                gain -= self._reference.logps(responses).double()
        parts = [len(r.tokens) if "mean" in self.normalize else 1 for r in responses]
        return [self.beta * g / n for g, n in zip(gain.tolist(), parts, strict=True)]

    def _read(self, response: Response) -> Response | Missing:
        """The response in π's tokens."""
        found: Response | None = response if self._reader is None else self._reader(response)
        if found is None:
            return Missing(f"it does not fit {self._limit} tokens")
        count = len(found.prompt.tokens) + len(found.tokens)
        return found if count <= self._limit else Missing(f"{count} tokens exceed {self._limit}")

    @property
    def _limit(self) -> int:
        models = [model for model in (self._policy, self._reference) if model is not None]
        return int(min(model.loaded.context for model in models))

    def _load(self, option: str, path: str) -> Any:
        from prefloop import config
        from prefloop.models.load import LANGUAGE, bare
        from prefloop.models.transformer import TransformerPolicy

        settings = config.Model(
            path=path,
            device=self.device,
            dtype=self.dtype,
            template=self.template,
            max_tokens=self.max_tokens,
            trust_remote_code=self.trust_remote_code,
        )
        loaded = bare(settings, replace(LANGUAGE, setting=f"implicit's {option}"))
        return TransformerPolicy(loaded, tokens=self.tokens)

    def _check(self) -> None:
        if not self.beta > 0:
            raise ValueError(f"beta must be positive, got {self.beta}")
        is_free = self.normalize.startswith("free")
        if is_free and self.reference is not None:
            raise ValueError(
                f"normalize={self.normalize} has no reference, got {self.reference!r}; leave it "
                "out, or set normalize to sum or mean"
            )
        if not is_free and self.reference is None:
            raise ValueError(
                f"normalize={self.normalize} needs the model that {self.path!r} was tuned from; "
                "set reference, or normalize to free or free_mean where it is unknown"
            )

    def _check_vocabularies(self) -> None:
        own, other = (m.loaded.tokenizer.get_vocab() for m in (self._policy, self._reference))
        if own != other:
            raise ValueError(
                f"path and reference must write text in the same tokens, but {self.path!r} has "
                f"{len(own)} and {self.reference!r} {len(other)}, not all of them the same; give "
                "the model that the policy was tuned from"
            )
