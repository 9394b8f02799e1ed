"""A finite world, where the optimum is known, through the very loop and learner of a real run."""

from collections.abc import Sequence
from functools import partial
from itertools import combinations

import pytest
import torch
from torch import Tensor, nn

import worlds
from prefloop.config import Learn
from prefloop.learn.facts import Facts
from prefloop.learn.learner import Learner, Plan
from prefloop.loop import Metrics, Parts, online
from prefloop.losses.dpo import dpo
from prefloop.types import Candidates, Preference, Prompt, Query, Response

PRIOR = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
REWARD = torch.tensor([0.0, 1.0, -0.5, 2.0], dtype=torch.float64)
PROMPT = Prompt(text="?", tokens=(0,))
RESPONSES = tuple(
    Response(prompt=PROMPT, text=str(i), id=str(i), tokens=(i,)) for i in range(len(PRIOR))
)


class Table:
    """A policy over four responses, one logit each."""

    def __init__(self) -> None:
        self.model = nn.Module()
        self.model.logits = nn.Parameter(PRIOR.log().clone())

    def logps(self, responses: Sequence[Response]) -> Tensor:
        """Differentiable, in double precision."""
        found: Tensor = self.model.logits.log_softmax(0)
        return found[[r.tokens[0] for r in responses]]


def parts(policy: Table, settings: Learn, beta: float) -> Parts:
    """All responses proposed, all pairs asked about, P(a ≻ b) answered, all of it learned."""
    learner = Learner(policy, partial(dpo, beta=beta), settings)
    ref = Facts(ref={str(i): float(p) for i, p in enumerate(PRIOR.log())})

    def choose(round: int, candidates: Sequence[Candidates]) -> list[Query]:
        pairs = combinations(candidates[0].responses, 2)
        return [Query(prompt=PROMPT, a=a, b=b, id=f"{a.id}-{b.id}") for a, b in pairs]

    def ask(round: int, queries: Sequence[Query]) -> list[Preference]:
        gap = lambda q: REWARD[q.a.tokens[0]] - REWARD[q.b.tokens[0]]
        return [Preference(query=q, p=float(gap(q).sigmoid())) for q in queries]

    def learn(round: int, answers: Sequence[Preference]) -> Metrics:
        plan = Plan.of(range(len(answers)), settings, 0, round)
        last = [step.means() for step in learner.steps(answers, ref, plan)][-1]
        return {"loss": last["loss"]}

    return Parts(
        sample=lambda round: [Candidates(prompt=PROMPT, responses=RESPONSES)],
        choose=choose,
        ask=ask,
        learn=learn,
        measure=lambda round: {"objective": objective(policy, beta)},
    )


@torch.no_grad()
def objective(policy: Table, beta: float) -> float:
    """E[r] − β KL(π‖π_ref), the thing to maximise."""
    logp = policy.logps(RESPONSES)
    return float((logp.exp() * (REWARD - beta * (logp - PRIOR.log()))).sum())


@pytest.mark.parametrize("beta", [0.5, 1.0, 3.0])
def test_rounds_of_dpo_come_to_the_kl_regularised_optimum(beta: float) -> None:
    """arXiv:2305.18290, eq. 4: π ∝ π_ref · exp(r/β), the log-partition its objective's value."""
    policy = Table()
    settings = Learn(
        lr=0.1, epochs=150, batch=6, schedule="cosine", precision="float32", max_grad_norm=None
    )
    metrics = list(online(parts(policy, settings, beta), range(1, 4)))
    found = policy.logps(RESPONSES).detach().exp()
    torch.testing.assert_close(found, worlds.tilt(PRIOR, REWARD, beta), rtol=1e-4, atol=1e-6)
    best = beta * float((PRIOR * (REWARD / beta).exp()).sum().log())
    gaps = [best - m["objective"] for m in metrics]
    assert all(gap > -1e-12 for gap in gaps)
    assert gaps[-1] < 1e-7
