"""The tensor families. The type of a loss's first argument is its family.

Every log-probability is summed over the response's tokens, EOS included, in float32 (float64 in
the lab); every `len_*` is the number of those tokens.
"""

from dataclasses import dataclass, replace

from jaxtyping import Bool, Float
from torch import Tensor


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

    @property
    def margin(self) -> Float[Tensor, " pair"]:
        """h = log π(a)/π_ref(a) − log π(b)/π_ref(b): how much more the policy moved to `a`."""
        return (self.a - self.ref_a) - (self.b - self.ref_b)

    def swap(self) -> "PairLogps":
        """The same answers with every pair named the other way round."""
        return replace(
            self,
            a=self.b,
            b=self.a,
            ref_a=self.ref_b,
            ref_b=self.ref_a,
            p=1 - self.p,
            len_a=self.len_b,
            len_b=self.len_a,
        )


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
