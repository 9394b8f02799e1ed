"""One gradient whatever the machine, one end however often it is interrupted."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

import small
import tiny
from prefloop.config import Learn
from prefloop.learn.collate import prompt_of
from prefloop.learn.facts import Facts, Row, responses_of
from prefloop.learn.learner import Learner, Plan
from prefloop.losses.dpo import dpo
from prefloop.losses.kto import kto
from prefloop.losses.sft import sft
from prefloop.models.load import Loaded
from prefloop.models.transformer import TransformerPolicy
from prefloop.types import Preference, Prompt, Query, Response

SETTINGS = Learn(lr=1e-2, batch=8, precision="float32", max_grad_norm=None)
LOSSES = {"dpo": dpo, "sft": sft}


def changed(**changes: Any) -> Learn:
    """SETTINGS with some of them changed."""
    return SETTINGS.model_copy(update=changes)


def policy(seed: int = 0) -> TransformerPolicy:
    """A tiny random language model as a policy."""
    model = small.network(seed)
    return TransformerPolicy(
        Loaded(model.train(), tiny.tokenizer(), torch.device("cpu"), 64), precision="float32"
    )


def rows(kind: str, n: int = 8) -> list[Row]:
    """Ragged pairs, of which every two share a prompt, or their responses one by one."""
    g = torch.Generator().manual_seed(0)
    draw = lambda size: tuple(torch.randint(5, 100, (size,), generator=g).tolist())
    size = lambda: int(torch.randint(1, 9, (), generator=g))
    prompts = [Prompt(text=str(i), tokens=draw(2 * size())) for i in range((n + 1) // 2)]
    make = lambda i, side: Response(
        prompt=prompts[i // 2], text=side, tokens=draw(size()), id=f"{i}{side}"
    )
    pairs: list[Row] = []
    for i in range(n):
        query = Query(prompt=prompts[i // 2], a=make(i, "a"), b=make(i, "b"), id=str(i))
        pairs.append(Preference(query=query, p=float(torch.rand((), generator=g))))
    return pairs if kind == "dpo" else [r for pair in pairs for r in responses_of(pair)][:n]


def reference(chosen: Sequence[Row], seed: int = 1) -> Facts:
    """Log-probabilities of the rows' responses under another model."""
    responses = [r for row in chosen for r in responses_of(row)]
    with torch.no_grad():
        values = policy(seed).logps(responses).tolist()
    return Facts(ref=dict(zip((r.id for r in responses), values, strict=True)))


def gradient(kind: str, of: Any, settings: Learn = SETTINGS) -> dict[str, Tensor]:
    """The gradient of one step on all rows, by parameter."""
    learner = Learner(of, LOSSES[kind], settings)
    chosen = rows(kind)
    plan = Plan(batches=(tuple(range(len(chosen))),))
    list(learner.steps(chosen, reference(chosen), plan))
    return {name: p.grad.clone() for name, p in of.model.named_parameters() if p.grad is not None}


def close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """AssertionError unless equal to what float32 allows."""
    assert found.keys() == expected.keys()
    for name in found:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-6, msg=name)


class TestAStep:
    """`Stepper.step`: the mean loss of its rows, whatever it takes to compute it."""

    @pytest.mark.parametrize("kind", LOSSES)
    @pytest.mark.parametrize("budget", [1, 40, 90, 10_000])
    def test_does_not_depend_on_its_token_budget(self, kind: str, budget: int) -> None:
        whole = gradient(kind, policy())
        close(gradient(kind, policy(), changed(tokens=budget)), whole)

    def test_is_the_gradient_of_the_mean_of_the_pairs_own_losses(self) -> None:
        """The plain way: one pair, one prompt + response at a time."""
        mine, chosen = policy(), rows("dpo")
        ref = reference(chosen).ref
        logp = lambda r: plainly(mine.model, r)
        losses = []
        for row in chosen:
            a, b = responses_of(row)
            h = 0.1 * ((logp(a) - ref[a.id]) - (logp(b) - ref[b.id]))
            losses.append(-row.p * h.sigmoid().log() - (1 - row.p) * (-h).sigmoid().log())
        torch.stack(losses).mean().backward()
        plain = {n: p.grad for n, p in mine.model.named_parameters() if p.grad is not None}
        close(gradient("dpo", policy()), plain)

    def test_reports_means_over_all_of_its_rows(self) -> None:
        chosen = rows("dpo")
        ref = reference(chosen)
        plan = Plan(batches=(tuple(range(8)),))
        reports = [
            next(Learner(policy(), dpo, changed(tokens=budget)).steps(chosen, ref, plan)).means()
            for budget in (1, 10_000)
        ]
        assert reports[0] == pytest.approx(reports[1], rel=1e-5)
        assert set(reports[0]) >= {"loss", "accuracy", "margin", "logp_chosen", "logp_rejected"}

    def test_at_the_reference_costs_ln_2_and_guesses_half_of_the_pairs(self) -> None:
        chosen = rows("dpo")
        learner = Learner(policy(), dpo, SETTINGS)
        at_start = reference(chosen, seed=0)
        report = next(learner.steps(chosen, at_start, Plan(batches=(tuple(range(8)),)))).means()
        assert report["loss"] == pytest.approx(torch.tensor(2.0).log().item(), abs=1e-5)
        assert learner.loss_at_reference(chosen, at_start) == pytest.approx(
            report["loss"], abs=1e-5
        )

    def test_is_clipped_to_the_largest_norm_and_says_what_it_was(self) -> None:
        norm = torch.stack([g.norm() for g in gradient("dpo", policy()).values()]).norm()
        clipped = changed(max_grad_norm=0.5 * float(norm))
        halved = gradient("dpo", policy(), clipped)
        assert torch.stack([g.norm() for g in halved.values()]).norm() == pytest.approx(
            0.5 * float(norm), rel=1e-4
        )

    def test_that_is_not_finite_is_an_error_and_changes_no_weight(self) -> None:
        mine, chosen = policy(), rows("dpo")
        before = {name: p.detach().clone() for name, p in mine.model.named_parameters()}
        ref = Facts(ref={name: float("nan") for name in reference(chosen).ref})
        learner = Learner(mine, dpo, SETTINGS)
        with pytest.raises(FloatingPointError, match=r"norm is nan; the weights were not changed"):
            list(learner.steps(chosen, ref, Plan(batches=((0, 1),))))
        assert all((before[n] == p).all() for n, p in mine.model.named_parameters())


def plainly(model: Any, response: Response) -> Tensor:
    """log π(response | prompt) from one padding-free sequence."""
    start = len(response.prompt.tokens)
    ids = torch.tensor([[*response.prompt.tokens, *response.tokens]])
    logps = model(input_ids=ids).logits[0, start - 1 : -1].log_softmax(-1)
    return logps.gather(1, ids[0, start:, None]).sum()


class Cramped:
    """A policy on a machine that runs out of memory above so many tokens at once."""

    def __init__(self, inner: TransformerPolicy, most: int, where: str) -> None:
        self.inner, self.most, self.where = inner, most, where
        self.model = inner.model
        self.failures = 0

    def logps(self, responses: Sequence[Response]) -> Tensor:
        """As the inner policy's, if there is room."""
        found = self.inner.logps(responses)
        prompts = {r.prompt.tokens for r in responses}
        size = sum(map(len, prompts)) + sum(len(r.tokens) for r in responses)
        if size > self.most and self.where == "forward":
            self.fail()
        if size > self.most:
            found.register_hook(lambda grad: self.fail())
        return found

    def fail(self) -> None:
        """Out of memory."""
        self.failures += 1
        raise torch.OutOfMemoryError("CUDA out of memory")


class TestOutOfMemory:
    """Micro-batches are halved until they fit."""

    @pytest.mark.parametrize("where", ["forward", "backward"])
    def test_leaves_the_gradient_as_it_is(self, where: str) -> None:
        cramped = Cramped(policy(), 70, where)
        close(gradient("dpo", cramped), gradient("dpo", policy()))
        assert cramped.failures > 0

    def test_halves_the_budget_of_the_steps_that_follow_too(self) -> None:
        cramped, chosen = Cramped(policy(), 70, "backward"), rows("dpo")
        learner = Learner(cramped, dpo, SETTINGS)
        steps = learner.steps(chosen, reference(chosen), Plan(batches=((*range(8),),) * 2))
        next(steps)
        failures = cramped.failures
        next(steps)
        assert cramped.failures == failures

    def test_of_a_single_prompt_says_what_to_do(self) -> None:
        with pytest.raises(MemoryError, match=r"one prompt .* does not fit.*checkpointing"):
            gradient("dpo", Cramped(policy(), 5, "forward"))


class TestAnInterruptedLearner:
    """Weights and moments are all there is to a learner."""

    @pytest.mark.parametrize("kind", LOSSES)
    def test_goes_on_bit_for_bit(self, kind: str) -> None:
        chosen = rows(kind)
        ref, plan = reference(chosen), Plan.of(range(8), changed(batch=2), 0, 1)
        whole = policy()
        list(Learner(whole, LOSSES[kind], SETTINGS).steps(chosen, ref, plan))
        first = policy()
        learner = Learner(first, LOSSES[kind], SETTINGS)
        steps = learner.steps(chosen, ref, plan)
        next(steps), next(steps)
        second = policy(seed=3)
        second.model.load_state_dict(first.model.state_dict())
        heir = Learner(second, LOSSES[kind], SETTINGS)
        heir.load_state_dict(learner.state_dict())
        list(heir.steps(chosen, ref, plan, done=2))
        same_weights(second, whole)

    def test_without_its_moments_would_end_elsewhere(self) -> None:
        chosen = rows("dpo")
        ref, ends = reference(chosen), []
        for forgets in (False, True):
            mine = policy()
            learner = Learner(mine, dpo, SETTINGS)
            steps = learner.steps(chosen, ref, Plan(batches=((0, 1), (2, 3), (4, 5))))
            next(steps), next(steps)
            if forgets:
                learner.load_state_dict({})
            next(steps)
            ends.append(mine.model.state_dict())
        assert any((ends[0][name] != ends[1][name]).any() for name in ends[0])

    def test_that_is_given_no_moments_starts_afresh(self) -> None:
        chosen = rows("dpo")
        ref, plan = reference(chosen), Plan(batches=((0, 1, 2), (3, 4)))
        mine, fresh = policy(), policy()
        learner = Learner(mine, dpo, SETTINGS)
        list(learner.steps(chosen, ref, plan))
        mine.model.load_state_dict(fresh.model.state_dict())
        learner.load_state_dict({})
        assert learner.state_dict() == {}
        list(learner.steps(chosen, ref, plan))
        list(Learner(fresh, dpo, SETTINGS).steps(chosen, ref, plan))
        same_weights(mine, fresh)

    def test_names_its_moments_by_parameter(self) -> None:
        mine, chosen = policy(), rows("dpo")
        learner = Learner(mine, dpo, SETTINGS)
        list(learner.steps(chosen, reference(chosen), Plan(batches=((0,),))))
        named = {name for name, _ in mine.model.named_parameters()}
        assert set(learner.state_dict()) == {
            f"{kind}/{name}" for name in named for kind in ("step", "exp_avg", "exp_avg_sq")
        }


def same_weights(one: TransformerPolicy, other: TransformerPolicy) -> None:
    """AssertionError unless both models are equal bit for bit."""
    mine, theirs = one.model.state_dict(), other.model.state_dict()
    assert all((mine[name] == theirs[name]).all() for name in mine)


def test_weight_decay_spares_norms_and_biases() -> None:
    decayed = Learner(policy(), dpo, changed(weight_decay=0.5)).stepper.optimizer
    by_decay = {g["weight_decay"]: g["params"] for g in decayed.param_groups}
    assert {p.ndim for p in by_decay[0.5]} == {2}
    assert {p.ndim for p in by_decay[0.0]} == {1}


class TestAPlan:
    """`Plan.of`: the order of a round's rows, decided by names alone."""

    def test_is_the_same_every_time_and_differs_by_seed_round_and_epoch(self) -> None:
        settings = changed(batch=4, epochs=2)
        make = lambda seed, round: Plan.of(range(10), settings, seed, round).batches
        assert make(0, 1) == make(0, 1)
        assert len({make(0, 1), make(0, 2), make(1, 1)}) == 3
        assert make(0, 1)[:3] != make(0, 1)[3:]

    @pytest.mark.parametrize(
        ("n", "size", "epochs"), [(10, 4, 2), (8, 4, 1), (3, 32, 3), (1, 1, 1)]
    )
    def test_takes_every_row_once_an_epoch(self, n: int, size: int, epochs: int) -> None:
        batches = Plan.of(range(n), changed(batch=size, epochs=epochs), 0, 1).batches
        steps = -(-n // size)
        assert len(batches) == steps * epochs
        for epoch in range(epochs):
            taken = [i for batch in batches[epoch * steps : (epoch + 1) * steps] for i in batch]
            assert sorted(taken) == list(range(n))
        assert all(len(batch) <= size for batch in batches)

    def test_keeps_the_rows_of_a_group_together(self) -> None:
        groups = [number % 5 for number in range(20)]
        batches = Plan.of(groups, changed(batch=8, epochs=2), 0, 1).batches
        for epoch in (batches[:3], batches[3:]):
            taken = [groups[i] for batch in epoch for i in batch]
            assert sum(a != b for a, b in pairwise(taken)) == 4
        assert batches[:3] != batches[3:]

    def test_spreads_what_several_policies_said_to_a_prompt(self) -> None:
        later = [replace(r, policy_version=i % 4) for i, r in enumerate(rows("sft", 16))]
        learner = Learner(policy(), sft, changed(batch=4))
        plan, one_by_one = learner.plan(later, 0, 1), Plan.of(range(16), learner.settings, 0, 1)
        assert plan == one_by_one

    def test_of_a_loss_that_asks_for_another_prompt_keeps_nothing_together(self) -> None:
        chosen = rows("sft", 16)
        for loss, least in ((sft, [1, 1, 1, 1]), (kto, [2, 2, 2, 2])):
            plan = Learner(policy(), loss, changed(batch=4)).plan(chosen, 0, 1)
            prompts = [len({prompt_of(chosen[i]) for i in batch}) for batch in plan.batches]
            assert [min(2, count) for count in prompts] == least

    def test_of_one_epoch_begins_the_plan_of_more(self) -> None:
        one = Plan.of(range(10), changed(batch=4, epochs=1), 0, 1).batches
        assert Plan.of(range(10), changed(batch=4, epochs=3), 0, 1).batches[:3] == one
