"""What a round learns from, and its learning as a run does it: PPO, RLOO, online DPO, a critic.

Responses are drawn beforehand and their scores are given, so that a round is what the learner does:
the passes that ask what the policy, the reference and the critic say, and the optimizer's steps.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cases import model, tokenizer, trees
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from prefloop.config import Credit, Learn
from prefloop.learn.credit import credit
from prefloop.learn.facts import Facts, Row
from prefloop.learn.learner import Learner, Plan
from prefloop.learn.optimizer import adamw
from prefloop.losses.dpo import dpo
from prefloop.losses.ppo import ppo
from prefloop.losses.rloo import rloo
from prefloop.models.load import Loaded
from prefloop.models.references import Reference, resident
from prefloop.models.reward import RewardModel
from prefloop.models.transformer import TransformerPolicy
from prefloop.store.text import Encoder
from prefloop.testbed import MODEL, prompts
from prefloop.types import Preference, Prompt, Query, Response, SamplingSettings

Round = Callable[[], float]
"""learns once, and says the last step's gradient norm before it was clipped"""
CONTEXT, CLIP, BETA = 1024, 1.0, 0.05
LEAVE_ONE_OUT = Credit(beta=BETA, estimator="leave_one_out", whiten=False)


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Responses of the model in a folder, prompt after prompt, `each` of every prompt."""

    name: str
    folder: Path
    responses: tuple[Response, ...]
    each: int

    @property
    def tokens(self) -> int:
        """Response tokens."""
        return sum(len(r.tokens) for r in self.responses)

    @property
    def rewards(self) -> list[float]:
        """A score for each response; any will do."""
        return np.random.default_rng(0).normal(size=len(self.responses)).tolist()

    @property
    def pairs(self) -> list[Preference]:
        """Disjoint neighbours that answer the same prompt, labelled by `rewards`."""
        scored = list(zip(self.responses, self.rewards, strict=True))
        return [
            Preference(query=Query(prompt=a.prompt, a=a, b=b, id=f"{a.id}>{b.id}"), p=float(x > y))
            for (a, x), (b, y) in list(pairwise(scored))[::2]
        ]

    def apart(self) -> "Samples":
        """As many responses of the same lengths, each to a prompt of its own."""
        found = []
        for number, response in enumerate(self.responses):
            tokens = (*response.prompt.tokens[:-1], 5 + number)
            prompt = replace(response.prompt, text=str(number), tokens=tokens)
            found.append(replace(response, prompt=prompt))
        return replace(self, responses=tuple(found), each=1)


def testbed(count: int, each: int) -> Samples:
    """Samples of the model that comes with prefloop, to its own prompts."""
    names = AutoTokenizer.from_pretrained(MODEL)
    policy = TransformerPolicy(Loaded(network(MODEL, moved=False), names, _CPU, CONTEXT))
    encoder = Encoder(names, context=CONTEXT)
    rows = [encoder.encode(Prompt(text=text)) for text in prompts("train")[:count]]
    settings = SamplingSettings(max_new_tokens=48)
    asked = [row[0] for row in rows if row]
    drawn = policy.sample(asked, n=each, settings=settings, rng=np.random.default_rng(0))
    return _named("testbed", MODEL, [r for group in drawn for r in group], each)


def random(size: str, folder: Path, count: int, each: int) -> Samples:
    """Random prompts of about 200 tokens, responses of 48 to 64, and a random model in the folder.

    The model is made where there is none, so that who measures memory may find it ready.
    """
    if not (folder / "config.json").exists():
        model(size, _CPU).save_pretrained(folder)
        tokenizer().save_pretrained(folder)
    responses = [
        Response(prompt=Prompt(text=str(number), tokens=tree.prompt), text="", tokens=tokens)
        for number, tree in enumerate(trees(count, (180, 220), (48, 64), each))
        for tokens in tree.responses
    ]
    return _named(size, folder, responses, each)


def network(folder: Path, *, moved: bool = True) -> Any:
    """The folder's model, a little way from it if `moved`: a policy that has begun to learn."""
    net = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).train()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters() if moved else ():
            noise = torch.randn(parameter.shape, generator=draw)
            parameter += 0.02 * parameter.abs().mean() * noise
    return net


def policy_of(samples: Samples) -> tuple[TransformerPolicy, Reference]:
    """The policy, and the model in the folder as its reference, in memory beside it."""
    names = AutoTokenizer.from_pretrained(samples.folder)
    mine, other = (
        TransformerPolicy(Loaded(network(samples.folder, moved=moved), names, _CPU, CONTEXT))
        for moved in (True, False)
    )
    return mine, resident(other)


def settings_of(batch: int, epochs: int) -> Learn:
    """Steps that move nothing to speak of: every round learns what the first did."""
    return Learn(lr=1e-9, batch=batch, epochs=epochs, max_grad_norm=CLIP, precision="float32")


@dataclass(frozen=True, kw_only=True)
class World:
    """What a round of policy gradients needs of its run."""

    learner: Learner
    reference: Reference
    scores: Callable[[Sequence[Response]], Sequence[Any]]
    credit: Credit

    @torch.no_grad()
    def facts(self, responses: Sequence[Response]) -> Facts:
        """As `runs/credit.py` has them: old, critic and reference passes, and the credit."""
        said = self.learner.stepper.said_of(responses)
        with self.reference(self.learner.policy) as frozen:
            ref = frozen.token_logps(responses)
        values = None
        if said.value is not None:
            values = split(said.rows(said.value, responses), responses)
        found, _ = credit(
            self.scores(responses),
            split(said.rows(said.y, responses), responses),
            split(ref, responses),
            values=values,
            prompts=[r.prompt.id for r in responses],
            finished=[r.finished for r in responses],
            settings=self.credit,
            beta=self.credit.beta,
        )
        return Facts(ref={}, credit=dict(zip((r.id for r in responses), found, strict=True)))


def gradient_round(world: World, samples: Samples) -> Round:
    """A policy gradient's: what its tokens were worth, and the epochs of steps."""
    learner, rows = world.learner, samples.responses
    plan = learner.plan(rows, 0, 1)
    return lambda: _steps(learner, rows, world.facts(rows), plan)


def own_trunk(policy: TransformerPolicy) -> RewardModel:
    """A critic beside the policy."""
    return RewardModel.of(policy, zero=True)


def ppo_round(samples: Samples, settings: Learn, critic: Callable[..., Any]) -> Round:
    """PPO's, with a critic made from the policy: `own_trunk`, or `ValueHead` on the policy's."""
    policy, reference = policy_of(samples)
    learner = Learner(policy, ppo, settings, critic=critic(policy))
    return gradient_round(_given(learner, reference, samples, Credit(beta=BETA)), samples)


def rloo_round(samples: Samples, settings: Learn) -> tuple[Round, Any]:
    """RLOO's, and the model that it trains."""
    policy, reference = policy_of(samples)
    world = _given(Learner(policy, rloo, settings), reference, samples, LEAVE_ONE_OUT)
    return gradient_round(world, samples), policy.model


def dpo_round(samples: Samples, settings: Learn) -> Round:
    """Online DPO's: the reference pass, and the epochs of steps on disjoint pairs."""
    policy, reference = policy_of(samples)
    learner, rows = Learner(policy, dpo, settings), samples.pairs
    plan = learner.plan(rows, 0, 1)
    names = [r.id for r in samples.responses]

    def learn() -> float:
        with reference(policy) as frozen:
            ref = frozen.logps(samples.responses).tolist()
        return _steps(learner, rows, Facts(ref=dict(zip(names, ref, strict=True))), plan)

    return learn


def value_pass(samples: Samples) -> Round:
    """What a critic says of every token, once, without gradients."""
    critic = own_trunk(policy_of(samples)[0])

    @torch.no_grad()
    def say() -> float:
        return float(critic.values(samples.responses).sum())

    return say


def critic_round(samples: Samples, settings: Learn) -> Round:
    """A critic's alone: the value pass, and as many epochs of steps on its squared error."""
    critic = own_trunk(policy_of(samples)[0])
    parameters, optimizer = list(critic.model.parameters()), adamw({"": critic.model}, settings)
    rows = samples.responses
    plan = Plan.of([row.prompt.id for row in rows], settings, 0, 1)

    def learn() -> float:
        with torch.no_grad():
            returns = dict(zip((r.id for r in rows), split(critic.values(rows), rows), strict=True))
        for places in plan.batches:
            chosen = [rows[i] for i in places]
            optimizer.zero_grad(set_to_none=True)
            wanted = torch.cat([returns[r.id] for r in chosen]) + 1
            (critic.values(chosen) - wanted).square().mean().backward()
            norm = nn.utils.clip_grad_norm_(parameters, CLIP)
            optimizer.step()
        return float(norm)

    return learn


def _steps(learner: Learner, rows: Sequence[Row], facts: Facts, plan: Plan) -> float:
    *_, last = learner.steps(rows, facts, plan)
    return last.means()["grad_norm"]


def _given(learner: Learner, reference: Reference, samples: Samples, settings: Credit) -> World:
    known = dict(zip((r.id for r in samples.responses), samples.rewards, strict=True))
    scores = lambda responses: [known[r.id] for r in responses]
    return World(learner=learner, reference=reference, scores=scores, credit=settings)


def split(flat: torch.Tensor, rows: Sequence[Response]) -> list[torch.Tensor]:
    """A flat column, a row a response."""
    return list(flat.split([len(r.tokens) for r in rows]))


def _named(name: str, folder: Path, responses: Sequence[Response], each: int) -> Samples:
    named = tuple(replace(r, id=f"r{i}") for i, r in enumerate(responses))
    return Samples(name=name, folder=folder, responses=named, each=each)


_CPU = torch.device("cpu")
