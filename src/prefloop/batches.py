"""The tensor families. The type of a loss's first argument is its family.

Every log-probability is summed over the response's tokens, EOS included, in float32 (float64 in
the lab); every `len_*` is the number of those tokens.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from jaxtyping import Bool, Float, Int
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


@dataclass(frozen=True, kw_only=True)
class TokenLogps:
    """Log-probabilities of sampled tokens, response after response (PPO, RLOO, REINFORCE).

    Log-probabilities are those of the law the tokens were drawn from, its temperature included.
    A loss gives one value a token; its mean is over the tokens of the whole accumulated batch.
    """

    y: Float[Tensor, " token"]
    old: Float[Tensor, " token"]
    """log π_old: the policy as the round began, which drew the tokens"""
    advantage: Float[Tensor, " token"]
    """how much better than expected the token turned out, in units of reward unless whitened"""
    response: Int[Tensor, " token"]
    """which response the token is of, counted from 0 through this batch"""
    mean_length: Float[Tensor, ""]
    """tokens a response, over the whole accumulated batch: the mean of `mean_length` times a value
    is the mean over responses of that value's sum"""
    value: Float[Tensor, " token"] | None = None
    """V: the critic's estimate, before the token is drawn, of what is still to come"""
    old_value: Float[Tensor, " token"] | None = None
    """the same as the round began"""
    returns: Float[Tensor, " token"] | None = None
    """what came: the critic's target"""

    @property
    def log_ratio(self) -> Float[Tensor, " token"]:
        """log π/π_old: 0 for all before the first step."""
        return self.y - self.old

    def summed(self, values: Float[Tensor, " token"]) -> Float[Tensor, " token"]:
        """Each token's response's sum of the values, at every token of it."""
        total = values.new_zeros(int(self.response.max()) + 1 if len(values) else 0)
        return total.index_add(0, self.response, values)[self.response]


@dataclass(frozen=True, kw_only=True)
class PairScores:
    """A reward model's scores of answered queries, `a` and `b` as they were asked."""

    a: Float[Tensor, " pair"]
    b: Float[Tensor, " pair"]
    p: Float[Tensor, " pair"]
    """P(a ≻ b), the oracle's answer"""
    strength: Float[Tensor, " pair"] | None = None
    """how much better the better one is, in the annotators' units (`needs = ("strength",)`)"""

    @property
    def gap(self) -> Float[Tensor, " pair"]:
        """r(a) − r(b): the logit of P(a ≻ b) under Bradley–Terry."""
        return self.a - self.b

    def swap(self) -> "PairScores":
        """The same answers with every pair named the other way round."""
        return replace(self, a=self.b, b=self.a, p=1 - self.p)


@dataclass(frozen=True, kw_only=True)
class SplitScores:
    """What a reward model's two heads, of quality and of length, say of answered queries."""

    a: Float[Tensor, "pair 2"]
    b: Float[Tensor, "pair 2"]
    p: Float[Tensor, " pair"]
    """P(a ≻ b), the oracle's answer"""
    len_a: Float[Tensor, " pair"]
    len_b: Float[Tensor, " pair"]
    whole: "SplitScores | None" = None
    """the whole accumulated batch, detached (`needs = ("whole",)`)"""

    def swap(self) -> "SplitScores":
        """The same answers with every pair named the other way round."""
        return replace(self, a=self.b, b=self.a, p=1 - self.p, len_a=self.len_b, len_b=self.len_a)


@dataclass(frozen=True, kw_only=True)
class ListScores:
    """A reward model's scores of ranked lists, list after list; a loss gives one value a list."""

    score: Float[Tensor, " response"]
    rank: Float[Tensor, " response"]
    """1 is the best of its list; equal ranks are ties"""
    list: Int[Tensor, " response"]
    """which list the response is of, counted from 0"""


@dataclass(frozen=True, kw_only=True)
class PointScores:
    """A reward model's ratings of single responses by several objectives, some unknown."""

    score: Float[Tensor, "response objective"]
    target: Float[Tensor, "response objective"]
    """what people said; NaN where they said nothing"""


@dataclass(frozen=True, kw_only=True)
class ViewCodes:
    """What an information bottleneck made of two views of each prompt: two samples of the policy.

    Codes are factorised Gaussians; `score` is the critic's T(z₁, z₂) of one draw from each.
    """

    mean_1: Float[Tensor, "view code"]
    std_1: Float[Tensor, "view code"]
    mean_2: Float[Tensor, "view code"]
    std_2: Float[Tensor, "view code"]
    score: Float[Tensor, "view other"]
    """row i: the i-th first view against every second view there is, its own at column `own[i]`"""
    own: Int[Tensor, " view"]


Batch = TypeVar("Batch", PairLogps, PointLogps, SplitScores)


def detached(y: Batch) -> Batch:
    """The same numbers without gradients."""
    found: dict[str, Any] = {f.name: getattr(y, f.name) for f in fields(y)}
    tensors = {name: v.detach() for name, v in found.items() if isinstance(v, Tensor)}
    return replace(y, **{**found, **tensors})
