"""The tensor families. The type of a loss's first argument is its family.

Every log-probability is summed over the response's tokens, EOS included, in float32 (float64 in
the lab); every `len_*` is the number of those tokens.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from jaxtyping import Bool, Float
from torch import Tensor

from prefloop.types import Source


@dataclass(frozen=True, kw_only=True)
class PairLogps:
    """Log-probabilities of a batch of answered queries, `a` and `b` as they were asked."""

    a: Float[Tensor, " pair"]
    b: Float[Tensor, " pair"]
    ref_a: Float[Tensor, " pair"]
    ref_b: Float[Tensor, " pair"]
    p: Float[Tensor, " pair"]
    """P(a ≻ b), the oracle's answer"""
    len_a: Float[Tensor, " pair"]
    len_b: Float[Tensor, " pair"]
    target: Float[Tensor, " pair"] | None = None
    """log π of the text a regulariser keeps likely, for a loss that names it in `needs`"""
    prev_a: Float[Tensor, " pair"] | None = None
    prev_b: Float[Tensor, " pair"] | None = None
    """log π_t: the policy as the round began, a second reference (`needs = ("prev",)`)"""
    win_a: Float[Tensor, " pair"] | None = None
    win_b: Float[Tensor, " pair"] | None = None
    """P(y ≻ π_t): how often a response beats the policy's own (`needs = ("win",)`)"""
    width_a: Float[Tensor, " pair"] | None = None
    width_b: Float[Tensor, " pair"] | None = None
    """Γ(y): how uncertain a response's reward is, in units of reward (`needs = ("width",)`)"""
    on_policy: Bool[Tensor, " pair"] | None = None
    """both responses are samples of the policy being trained (`needs = ("on_policy",)`)"""
    whole: "PairLogps | None" = None
    """the whole accumulated batch, these pairs among it, without gradients (`needs = ("whole",)`):
    what a mean over the batch is taken from, so that gradient accumulation changes nothing"""

    @property
    def margin(self) -> Float[Tensor, " pair"]:
        """h = log π(a)/π_ref(a) − log π(b)/π_ref(b): how much more the policy moved to `a`."""
        return (self.a - self.ref_a) - (self.b - self.ref_b)

    def swap(self) -> "PairLogps":
        """The same answers with every pair named the other way round."""
        sides = [f.name for f in fields(self) if f.name[-2:] in ("_a", "_b")] + ["a", "b"]
        other = {"a": "b", "b": "a"}
        swapped = {name: getattr(self, name[:-1] + other[name[-1]]) for name in sides}
        whole = self.whole and self.whole.swap()
        return replace(self, **swapped, p=1 - self.p, whole=whole)


@dataclass(frozen=True, kw_only=True)
class PointLogps:
    """Log-probabilities of single responses, each wanted or unwanted (SFT, KTO, RAFT)."""

    y: Float[Tensor, " sample"]
    ref: Float[Tensor, " sample"]
    desirable: Bool[Tensor, " sample"]
    length: Float[Tensor, " sample"]
    mean_length: Float[Tensor, ""]
    """mean number of response tokens over the whole accumulated batch: a token-mean loss divides
    by it, so that gradient accumulation changes nothing"""
    mismatch: Float[Tensor, " stranger"] | None = None
    """log π/π_ref of responses to other prompts, over the whole accumulated batch, without
    gradients: KTO's estimate of the KL (`needs = ("mismatch",)`)"""
    whole: "PointLogps | None" = None
    """the whole accumulated batch, without gradients (`needs = ("whole",)`)"""


@dataclass(frozen=True, kw_only=True)
class SampleLogps:
    """Log-probabilities of responses that a bonus is on; nobody's labels are in it."""

    y: Float[Tensor, " sample"]
    ref: Float[Tensor, " sample"]
    length: Float[Tensor, " sample"]
    source: tuple[Source, ...]
    """who proposed each"""
    drawn: Float[Tensor, " sample"] | None = None
    """log-probability under the policy that drew it, untruncated (`needs = ("drawn",)`)"""
    novelty: Float[Tensor, " sample"] | None = None
    """1/√(how often the like of it was collected before) (`needs = ("novelty",)`)"""

    @property
    def log_ratio(self) -> Float[Tensor, " sample"]:
        """Δ = log π(y)/π_ref(y)."""
        return self.y - self.ref


Batch = TypeVar("Batch", PairLogps, PointLogps)


def detached(y: Batch) -> Batch:
    """The same numbers without gradients."""
    found: dict[str, Any] = {f.name: getattr(y, f.name) for f in fields(y)}
    tensors = {name: v.detach() for name, v in found.items() if isinstance(v, Tensor)}
    return replace(y, **{**found, **tensors})
