"""The smallest worlds in which the truth is known."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from prefloop.batches import PairLogps, PointLogps, SampleLogps, TokenLogps
from prefloop.oracles._border import query_id
from prefloop.types import Answer, Candidates, Missing, Prompt, Query, Response

PROMPT = Prompt(text="the film is a")


def response(text: str, **fields: object) -> Response:
    """A response to PROMPT."""
    return Response(prompt=PROMPT, text=text, **fields)  # type: ignore[arg-type]


def query(a: str, b: str, id: str = "") -> Query:
    """Which of the two texts continues PROMPT better?"""
    return Query(prompt=PROMPT, a=response(a), b=response(b), id=id)


def candidates(
    texts: Sequence[str], scores: Sequence[Sequence[float]] | None = None, sources: str = ""
) -> Candidates:
    """Responses with these texts; `sources` has a letter each, p(olicy) or r(eference)."""
    named = {"p": "policy", "r": "reference", "d": "dataset"}
    return Candidates(
        prompt=PROMPT,
        responses=tuple(
            response(text, source=named[source])
            for text, source in zip(texts, sources or "p" * len(texts), strict=True)
        ),
        scores=None if scores is None else np.array(scores, dtype=float),
    )


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """A scorer: every character is worth `worth`."""

    worth: float = 1.0

    def score(self, responses: Sequence[Response]) -> list[float | Missing]:
        return [self.worth * len(r.text) for r in responses]


@dataclass(frozen=True, kw_only=True)
class Says:
    """An oracle that answers whatever the function says."""

    p: Callable[[Query], float | Missing]
    cost: float = 1.0

    def ask(self, queries: Sequence[Query]) -> Iterator[Answer]:
        for q in queries:
            yield Answer(query_id=query_id(q), p=self.p(q), cost=self.cost, oracle="says")


def longer_is_better(q: Query) -> float:
    """A fair judge whose P depends on nothing but the lengths."""
    return float(1 / (1 + np.exp(len(q.b.text) - len(q.a.text))))


def pairs(n: int = 32, seed: int = 0, spread: float = 3.0) -> PairLogps:
    """Answered queries with valid log-probabilities between −spread and 0."""
    g = torch.Generator().manual_seed(seed)
    a, b, ref_a, ref_b, target = (-spread * torch.rand(n, generator=g) for _ in range(5))
    len_a, len_b = (torch.randint(1, 40, (n,), generator=g).to(a.dtype) for _ in range(2))
    p = torch.rand(n, generator=g)
    y = PairLogps(a=a, b=b, ref_a=ref_a, ref_b=ref_b, p=p, len_a=len_a, len_b=len_b, target=target)
    prev_a, prev_b = (-spread * torch.rand(n, generator=g) for _ in range(2))
    win_a, win_b, width_a, width_b = (torch.rand(n, generator=g) for _ in range(4))
    on_policy = torch.rand(n, generator=g) < 0.5
    y = replace(y, prev_a=prev_a, prev_b=prev_b, win_a=win_a, win_b=win_b, on_policy=on_policy)
    return replace(y, width_a=width_a, width_b=width_b, whole=y)


def margins(h: Sequence[float] | Tensor, p: Sequence[float] | Tensor) -> PairLogps:
    """Pairs of one-token responses with the given margins."""
    h, p = torch.as_tensor(h), torch.as_tensor(p)
    zero, one = torch.zeros_like(h), torch.ones_like(h)
    return PairLogps(a=h, b=zero, ref_a=zero, ref_b=zero, p=p, len_a=one, len_b=one)


def points(n: int = 32, seed: int = 0, spread: float = 3.0) -> PointLogps:
    """Labelled single responses with valid log-probabilities between −spread and 0."""
    g = torch.Generator().manual_seed(seed)
    y, ref = (-spread * torch.rand(n, generator=g) for _ in range(2))
    length = torch.randint(1, 40, (n,), generator=g).to(y.dtype)
    desirable = torch.rand(n, generator=g) < 0.5
    y = PointLogps(y=y, ref=ref, desirable=desirable, length=length, mean_length=length.mean())
    return replace(y, mismatch=0.3 * torch.randn(n, generator=g), whole=y)


def samples(n: int = 32, seed: int = 0, spread: float = 3.0) -> SampleLogps:
    """Responses with valid log-probabilities between −spread and 0, of which a few are new."""
    g = torch.Generator().manual_seed(seed)
    y, ref, drawn = (-spread * torch.rand(n, generator=g) for _ in range(3))
    length = torch.randint(1, 40, (n,), generator=g).to(y.dtype)
    novelty = torch.rand(n, generator=g)
    source = ("reference", "policy") * n
    return SampleLogps(y=y, ref=ref, drawn=drawn, length=length, novelty=novelty, source=source[:n])


def tokens(n: int = 96, seed: int = 0, spread: float = 3.0) -> TokenLogps:
    """Tokens of ragged responses with valid log-probabilities between −spread and 0."""
    g = torch.Generator().manual_seed(seed)
    y, old = (-spread * torch.rand(n, generator=g) for _ in range(2))
    starts = torch.rand(n, generator=g) < 0.3
    response = starts.cumsum(0) - starts[:1].long()
    advantage, value, old_value, returns = (torch.randn(n, generator=g) for _ in range(4))
    return TokenLogps(
        y=y,
        old=old,
        advantage=advantage,
        response=response,
        mean_length=y.new_tensor(n / (int(response[-1]) + 1)),
        value=value,
        old_value=old_value,
        returns=returns,
    )


@dataclass(frozen=True)
class Bandit:
    """One prompt, as many responses as the prior has entries, and every pair answered exactly."""

    prior: Tensor
    """π_ref, a distribution"""
    preference: Tensor
    """P(i ≻ j), K × K"""

    @classmethod
    def bradley_terry(cls, prior: Tensor, reward: Tensor) -> "Bandit":
        """The world whose annotators follow σ(r_i − r_j)."""
        return cls(prior, torch.sigmoid(reward[:, None] - reward[None, :]))

    def pairs(self, policy: Tensor) -> PairLogps:
        """All K² comparisons under the policy's log-probabilities."""
        i, j = torch.cartesian_prod(*[torch.arange(len(self.prior))] * 2).T
        ref, one = self.prior.log(), torch.ones(len(i))
        return PairLogps(
            a=policy[i],
            b=policy[j],
            ref_a=ref[i],
            ref_b=ref[j],
            p=self.preference[i, j],
            len_a=one,
            len_b=one,
        )

    def fit(self, loss: Callable[[PairLogps], Tensor]) -> Tensor:
        """The softmax policy that minimises the loss, by L-BFGS to machine precision."""
        logits = self.prior.log().clone().requires_grad_()
        optimiser = torch.optim.LBFGS(
            [logits],
            max_iter=500,
            tolerance_grad=1e-13,
            tolerance_change=1e-16,
            line_search_fn="strong_wolfe",
        )

        def closure() -> Tensor:
            optimiser.zero_grad()
            value = loss(self.pairs(logits.log_softmax(0))).mean()
            value.backward()  # type: ignore[no-untyped-call]
            return value

        optimiser.step(closure)  # type: ignore[no-untyped-call]
        return logits.detach().softmax(0)


def tilt(prior: Tensor, reward: Tensor, beta: float) -> Tensor:
    """π ∝ prior · exp(reward/β): the maximiser of E[reward] − β KL(π‖prior)."""
    return (prior.log() + reward / beta).softmax(0)
