"""A reward model learns what its rows and terms say, whatever the budget, however interrupted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid
from transformers import LlamaForCausalLM

import tiny
from prefloop.config import Reward
from prefloop.learn.facts import Row, responses_of
from prefloop.learn.language import Language
from prefloop.learn.learner import Plan
from prefloop.learn.optimizer import learning_rate
from prefloop.learn.reward import RewardLearner
from prefloop.learn.terms import Term, Turn
from prefloop.learn.views import Views
from prefloop.losses.reward.bradley_terry import bradley_terry
from prefloop.losses.reward.odin import odin
from prefloop.losses.reward.plackett_luce import plackett_luce
from prefloop.losses.reward.regression import regression
from prefloop.losses.views.bottleneck import bottleneck
from prefloop.models.load import Loaded, load_weights, weights
from prefloop.models.reward import RewardModel
from prefloop.models.transformer import TransformerPolicy
from prefloop.models.views import ViewEncoder
from prefloop.models.vocabulary import Vocabulary
from prefloop.rng import key
from prefloop.types import Preference, Prompt, Query, Ranking, Rating, Response

SETTINGS = Reward(
    lr=1e-2, batch=4, precision="float32", max_grad_norm=None, warmup=0.0, weight_decay=0.1
)
WHOLE = Plan(batches=(tuple(range(8)),))
Gradient = dict[str, Tensor]


def changed(**changes: Any) -> Reward:
    """SETTINGS with some of them changed."""
    return SETTINGS.model_copy(update=changes)


def policy() -> TransformerPolicy:
    """A tiny random language model in double precision."""
    torch.manual_seed(0)
    network = LlamaForCausalLM(tiny.config()).double().train()
    return TransformerPolicy(Loaded(network, tiny.tokenizer(), torch.device("cpu"), 64))


def reward(heads: int = 1) -> RewardModel:
    """A reward model on it, in double precision too."""
    found = RewardModel.of(policy(), heads=heads, seed=1)
    found.model.double()
    return found


def groups(count: int = 4, each: int = 4) -> list[list[Response]]:
    """Ragged responses, a group a prompt."""
    g = torch.Generator().manual_seed(0)
    size = lambda: int(torch.randint(1, 9, (), generator=g))
    draw = lambda: tuple(torch.randint(5, 100, (size(),), generator=g).tolist())
    found = []
    for i in range(count):
        prompt = Prompt(text=str(i), tokens=draw())
        found.append(
            [Response(prompt=prompt, text="", tokens=draw(), id=f"{i}.{j}") for j in range(each)]
        )
    return found


def pairs(each: int = 4) -> list[Row]:
    """Pairs of which every two share a prompt, with soft labels; 8 of them."""
    g, found = torch.Generator().manual_seed(2), []
    for group in groups(each=each):
        for a, b in zip(group[::2], group[1::2], strict=True):
            query = Query(prompt=a.prompt, a=a, b=b, id=f"{a.id}?")
            found.append(Preference(query=query, p=float(torch.rand((), generator=g))))
    return [*found]


def rankings() -> list[Row]:
    """Lists of four, one of them with ties."""
    ranks = [(1.0, 2.0, 3.0, 4.0), (3.0, 1.0, 4.0, 2.0), (2.0, 1.0, 2.0, 3.0), (4.0, 3.0, 2.0, 1.0)]
    return [
        Ranking(responses=tuple(group), ranks=order, id=f"list {i}")
        for i, (group, order) in enumerate(zip(groups(), ranks, strict=True))
    ]


def ratings() -> list[Row]:
    """Two objectives, of which some responses have one only."""
    flat = [r for group in groups(each=2) for r in group]
    nan = float("nan")
    return [
        Rating(response=r, values=(0.3 * i, nan if i % 3 else -0.1 * i), id=f"rating {i}")
        for i, r in enumerate(flat)
    ]


def plain(model: RewardModel, responses: Sequence[Response]) -> Tensor:
    """Every sequence alone through the backbone, and the heads at its last token."""
    trunk: Any = model.model.base_model
    rows = [torch.tensor([[*r.prompt.tokens, *r.tokens]]) for r in responses]
    ends = [trunk(input_ids=row, use_cache=False).last_hidden_state[0, -1] for row in rows]
    scores: Tensor = model.model.score(torch.stack(ends))
    return scores


def cross_entropy(model: RewardModel, rows: Sequence[Any]) -> Tensor:
    """Bradley–Terry by hand, the mean over rows and heads."""
    gap = plain(model, [r.query.a for r in rows]) - plain(model, [r.query.b for r in rows])
    p = torch.tensor([[r.p] for r in rows], dtype=gap.dtype)
    return (-p * logsigmoid(gap) - (1 - p) * logsigmoid(-gap)).mean()


def named(model: RewardModel) -> dict[str, nn.Parameter]:
    return dict(model.model.named_parameters())


def gradient(learner: RewardLearner, rows: Sequence[Row], plan: Plan = WHOLE) -> Gradient:
    """Of the plan's first step, by parameter, the encoder's among them."""
    next(learner.steps(rows, plan))
    return {
        f"{prefix}/{name}": p.grad.clone()
        for prefix, part in learner.trained.items()
        for name, p in part.named_parameters()
        if p.grad is not None
    }


def by_hand(model: RewardModel, value: Tensor) -> Gradient:
    """Of a value that was written down here."""
    value.backward()  # type: ignore[no-untyped-call]
    return {f"/{name}": p.grad for name, p in named(model).items() if p.grad is not None}


def close(found: Gradient, expected: Gradient) -> None:
    """Up to the norms and rotations that a Llama computes in single precision."""
    assert found.keys() == expected.keys()
    for name in found:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-6)


def encoder() -> ViewEncoder:
    return ViewEncoder(8, code=3, hidden=5, seed=3).double()


def views(model: RewardModel, part: ViewEncoder | None = None) -> Views:
    return Views(
        model=model,
        encoder=part or encoder(),
        loss=bottleneck,
        groups=groups(),
        weight=0.7,
        batch=3,
        seed=5,
        round=2,
    )


def every_term(model: RewardModel) -> dict[str, Term]:
    vocabulary = Vocabulary.of(policy().model)
    return {
        "views": views(model),
        "language": Language(model=model, vocabulary=vocabulary, weight=0.3),
    }


class TestLearning:
    """What it learns, against loops written down here."""

    def test_its_steps_are_those_of_a_plain_loop(self) -> None:
        model, twin, rows = reward(heads=2), reward(heads=2), pairs()
        settings = changed(warmup=0.4, schedule="linear", max_grad_norm=0.05)
        plan = Plan(batches=((0, 1, 2), (5, 3, 7, 6), (4, 0, 2), (1, 6)))
        matrices = [p for p in twin.model.parameters() if p.ndim == 2]
        vectors = [p for p in twin.model.parameters() if p.ndim == 1]
        plainly = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
        )
        learner = RewardLearner(model, bradley_terry, settings)
        for number, tally in enumerate(learner.steps(rows, plan)):
            plainly.zero_grad()
            loss = cross_entropy(twin, [rows[i] for i in plan.batches[number]])
            loss.backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(twin.model.parameters(), 0.05)
            for group in plainly.param_groups:
                group["lr"] = learning_rate(settings, number, 4)
            plainly.step()
            assert tally.means()["loss"] == pytest.approx(loss.item(), rel=1e-5)
            assert tally.means()["grad_norm"] == pytest.approx(norm.item(), rel=1e-5)
            assert norm > 0.05
            for name, parameter in named(model).items():
                torch.testing.assert_close(parameter, named(twin)[name], rtol=1e-4, atol=1e-5)

    def test_a_head_recovers_a_planted_linear_reward(self) -> None:
        """Soft labels of more pairs than the head has weights leave it one minimum: the gaps."""
        model, rows = reward(), pairs(each=8)
        model.model.base_model.requires_grad_(False)
        planted = torch.linspace(-0.7, 0.7, 8, dtype=torch.float64)
        with torch.no_grad():
            states = [
                model.states([r.query.a for r in rows]),
                model.states([r.query.b for r in rows]),
            ]
            gaps = (states[0] - states[1]) @ planted
        told = [
            Preference(query=r.query, p=float(p)) for r, p in zip(rows, gaps.sigmoid(), strict=True)
        ]
        settings = changed(lr=0.3, schedule="cosine", weight_decay=0.0)
        plan = Plan(batches=(tuple(range(len(told))),) * 100)
        *_, last = RewardLearner(model, bradley_terry, settings).steps(told, plan)
        with torch.no_grad():
            found = model.scores([r.query.a for r in told]) - model.scores(
                [r.query.b for r in told]
            )
        assert len(told) == 16 and gaps.abs().max() > 1
        torch.testing.assert_close(found[:, 0], gaps, rtol=0.05, atol=0.05)
        entropy = torch.distributions.Bernoulli(logits=gaps).entropy().mean().item()
        assert last.means()["loss"] == pytest.approx(entropy, abs=1e-3)

    def test_it_learns_from_ranked_lists(self) -> None:
        """Plackett–Luce by hand: the best of all, the best of the rest; ties in either order."""
        model, twin = reward(), reward()
        found = gradient(
            RewardLearner(model, plackett_luce, SETTINGS), rankings(), Plan(batches=((0, 1, 2, 3),))
        )

        def surprise(score: Tensor) -> Tensor:
            return sum((score[i:].logsumexp(0) - score[i] for i in range(4)), torch.zeros(()))

        orders: list[list[list[int]]] = [
            [[0, 1, 2, 3]],
            [[1, 3, 0, 2]],
            [[1, 0, 2, 3], [1, 2, 0, 3]],
            [[3, 2, 1, 0]],
        ]
        losses = []
        for row, either in zip(rankings(), orders, strict=True):
            score = plain(twin, responses_of(row))[:, 0]
            losses.append(torch.stack([surprise(score[order]) for order in either]).mean())
        close(found, by_hand(twin, torch.stack(losses).mean()))

    def test_it_learns_from_ratings_by_several_objectives(self) -> None:
        model, twin, rows = reward(heads=2), reward(heads=2), ratings()
        found = gradient(RewardLearner(model, regression, SETTINGS), rows)
        losses = []
        for row in rows:
            assert isinstance(row, Rating)
            score = plain(twin, [row.response])[0]
            known = [(s - y) ** 2 for s, y in zip(score, row.values, strict=True) if y == y]
            losses.append(torch.stack(known).mean())
        close(found, by_hand(twin, torch.stack(losses).mean()))


def test_what_is_said_of_one_prompt_is_one_steps() -> None:
    rows = pairs()[::2] + pairs()[1::2]  # siblings apart
    plan = RewardLearner(reward(), bradley_terry, changed(batch=2)).plan(rows, 0, 1)
    asked = [{responses_of(rows[i])[0].prompt.text for i in batch} for batch in plan.batches]
    assert [len(texts) for texts in asked] == [1, 1, 1, 1]


@pytest.mark.parametrize("tokens", [1, 8192])
def test_with_a_length_head_accuracy_is_that_of_quality_however_a_step_is_cut(tokens: int) -> None:
    model, rows = reward(2), pairs()
    settings = changed(heads=2, aggregate="first", batch=8, tokens=tokens, epochs=1)
    a, b = (model.scores([responses_of(row)[side] for row in rows])[:, 0] for side in (0, 1))
    p = torch.tensor([row.p for row in rows if isinstance(row, Preference)])
    right = (a > b) == (p >= 0.5)
    (step,) = RewardLearner(model, odin, settings).steps(rows, WHOLE)
    assert 0.1 < right.double().mean() < 0.9
    assert step.means()["accuracy"] == pytest.approx(float(right.double().mean()))
    assert step.rows == len(rows)


class TestHeads:
    """Members of an ensemble, and what holds them where they began."""

    def test_a_heads_gradient_does_not_depend_on_the_others(self) -> None:
        """And is that of a model of its own, over how many there are."""
        rows = pairs()

        def first(model: RewardModel) -> Tensor:
            found = gradient(RewardLearner(model, bradley_terry, SETTINGS), rows)
            return found["/score.weight"][0]

        usual, moved, alone = reward(heads=3), reward(heads=3), reward()
        with torch.no_grad():
            moved.head.weight[1:] += 5.0
            alone.head.weight.copy_(usual.head.weight[:1])
        expected = first(usual)
        torch.testing.assert_close(first(moved), expected, rtol=1e-10, atol=1e-14)
        torch.testing.assert_close(first(alone) / 3, expected, rtol=1e-10, atol=1e-14)

    @pytest.mark.parametrize("batch", [(0, 1, 2), tuple(range(8))])
    def test_the_anchor_pulls_by_its_weight_over_all_rows(self, batch: tuple[int, ...]) -> None:
        """anchor/(rows · heads) · (w − w₀), however many of the rows a step sees.

        The loss is a mean over heads too: a head's own prior is the same among many as alone.
        """
        found = {}
        for anchor in (0.0, 3.0):
            model = reward(heads=2)
            learner = RewardLearner(model, bradley_terry, changed(anchor=anchor))
            with torch.no_grad():
                began = model.head.weight.clone()
                model.head.weight += torch.linspace(-1, 1, 16).view(2, 8)
                away = model.head.weight - began
            found[anchor] = gradient(learner, pairs(), Plan(batches=(batch,)))
        pull = found[3.0].pop("/score.weight") - found[0.0].pop("/score.weight")
        torch.testing.assert_close(pull, 3.0 / (8 * 2) * away, rtol=1e-10, atol=1e-12)
        close(found[3.0], found[0.0])

    def test_a_step_says_what_the_anchor_was(self) -> None:
        model = reward()
        learner = RewardLearner(model, bradley_terry, changed(anchor=3.0))
        with torch.no_grad():
            model.head.weight += 0.5
        tally = next(learner.steps(pairs(), WHOLE))
        assert tally.means()["anchor"] == pytest.approx(3.0 / (2 * 8) * 8 * 0.25)


@dataclass(frozen=True, kw_only=True)
class Heavy:
    """A term that adds its gradient, then finds no memory above a budget."""

    model: Any
    most: int
    asked: list[int]
    trained: Mapping[str, nn.Module] = field(default_factory=dict)

    def gradient(self, turn: Turn) -> float:
        self.asked.append(turn.budget)
        self.model.head.weight.sum().backward()
        if turn.budget > self.most:
            raise torch.OutOfMemoryError("no memory")
        return 1.0


@dataclass(frozen=True, kw_only=True)
class Listening:
    """A term that writes down what it is told, and lowers nothing."""

    turns: list[Turn]
    trained: Mapping[str, nn.Module] = field(default_factory=dict)

    def gradient(self, turn: Turn) -> float:
        self.turns.append(turn)
        return 0.0


class TestTerms:
    """What a step lowers besides."""

    @pytest.mark.parametrize("done", [0, 2])
    def test_are_told_the_number_and_the_rows_of_the_step(self, done: int) -> None:
        """By the number a term draws its samples: a restarted one must not draw the first again."""
        rows, term = pairs(), Listening(turns=[])
        plan = Plan(batches=((0, 1, 2), (3, 4, 5), (6, 7), (1, 4)))
        learner = RewardLearner(reward(), bradley_terry, SETTINGS, terms={"listening": term})
        list(learner.steps(rows, plan, done=done))
        told = [(turn.number, list(turn.rows), turn.total) for turn in term.turns]
        assert told == [(n, [rows[i] for i in plan.batches[n]], 8) for n in range(done, 4)]

    @pytest.mark.parametrize("tokens", [1, 20, 45])
    def test_the_budget_changes_no_gradient(self, tokens: int) -> None:
        def of(budget: int) -> Gradient:
            model = reward(heads=2)
            settings = changed(tokens=budget, anchor=2.0)
            learner = RewardLearner(model, bradley_terry, settings, terms=every_term(model))
            return gradient(learner, pairs())

        close(of(tokens), of(10_000))

    def test_a_term_that_runs_out_of_memory_begins_the_step_anew(self) -> None:
        model, plainly = reward(), reward()
        expected = gradient(RewardLearner(plainly, bradley_terry, SETTINGS), pairs())
        expected["/score.weight"] += 1
        heavy = Heavy(model=model, most=40, asked=[])
        learner = RewardLearner(model, bradley_terry, changed(tokens=100), terms={"heavy": heavy})
        close(gradient(learner, pairs()), expected)
        assert heavy.asked == [100, 50, 25]

    def test_what_views_bring_has_a_rate_of_its_own(self) -> None:
        """Adam's first step is as long as its rate wherever there is a gradient."""
        model, part = reward(), encoder()
        settings = changed(lr=1e-3, views_lr=7e-3, weight_decay=0.0)
        learner = RewardLearner(model, bradley_terry, settings, terms={"views": views(model, part)})
        rates: dict[str, float] = {}
        before = {name: weights(module) for name, module in learner.trained.items()}
        next(learner.steps(pairs(), WHOLE))
        for name, module in learner.trained.items():
            moved = [(after - before[name][key]).abs() for key, after in weights(module).items()]
            rates[name] = max(float(step.max()) for step in moved)
        assert rates == pytest.approx({"": 1e-3, "views": 7e-3}, rel=1e-3)

    @pytest.mark.parametrize("precision", ["float32", "bfloat16"])
    def test_the_terms_run_in_the_steps_own_precision(self, precision: str) -> None:
        """Every product of the trunk, of the pairs and of each term; the gradients stay float32."""
        single = RewardModel.of(policy(), seed=1)
        single.model.float()
        part = encoder().float()
        vocabulary = Vocabulary.of(policy().model.float())
        terms = {
            "views": views(single, part),
            "language": Language(model=single, vocabulary=vocabulary, weight=0.3),
        }
        seen = []
        layer = single.model.base_model.layers[0].mlp.down_proj
        layer.register_forward_hook(lambda *run: seen.append(run[-1].dtype))
        learner = RewardLearner(single, bradley_terry, changed(precision=precision), terms=terms)
        next(learner.steps(pairs(), WHOLE))
        assert len(seen) == 4, "pairs, language, and views twice"
        assert {str(kind) for kind in seen} == {f"torch.{precision}"}
        assert {p.grad.dtype for p in [*single.model.parameters(), *part.parameters()]} == {
            torch.float32
        }

    def test_views_are_of_prompts_with_two_samples_and_of_two_prompts_at_least(self) -> None:
        two, alone = groups(count=4, each=2), groups(count=4, each=1)
        found = replace(views(reward()), groups=[*alone[:2], *two[2:]])
        assert {a.prompt.text for a, _ in found.pairs(0)} == {"2", "3"}
        with pytest.raises(ValueError, match="at least 2 prompts with 2 samples each, got 1"):
            replace(views(reward()), groups=[*alone[:3], two[3]])

    def test_views_are_others_in_another_round(self) -> None:
        """Of the same samples, step for step."""
        drawn = {}
        for round in (2, 3):
            term = views(reward())
            term.round = round
            drawn[round] = [[(a.id, b.id) for a, b in term.pairs(step)] for step in range(4)]
        assert all(one != other for one, other in zip(*drawn.values(), strict=True))

    @pytest.mark.parametrize("budget", [1, 25, 10_000])
    def test_cached_states_of_views_give_the_direct_gradient(self, budget: int) -> None:
        model, twin, mine, other = reward(), reward(), encoder(), encoder()
        term = views(model, mine)
        value = term.gradient(Turn(number=4, rows=[], total=1, budget=budget))
        flat = [r for pair in term.pairs(4) for r in pair]
        noise = torch.Generator().manual_seed(key(5, "noise", 2, 4))
        states = twin.states(flat)
        direct = 0.7 * bottleneck(other(states[::2], states[1::2], noise)).mean()
        direct.backward()  # type: ignore[no-untyped-call]
        assert value == pytest.approx(direct.item(), rel=1e-5)
        for one, two in ((model.model.base_model, twin.model.base_model), (mine, other)):
            for p, q in zip(one.parameters(), two.parameters(), strict=True):
                torch.testing.assert_close(p.grad, q.grad, rtol=1e-4, atol=1e-6)


def bits(learner: RewardLearner) -> dict[str, bytes]:
    """Every weight and every moment, as they are stored."""
    parts = {name: weights(part) for name, part in learner.trained.items()}
    flat = {f"{name}/{key}": value for name, part in parts.items() for key, value in part.items()}
    every: Callable[[Tensor], bytes] = lambda tensor: tensor.numpy().tobytes()
    return {name: every(value) for name, value in {**flat, **learner.state_dict()}.items()}


def test_it_goes_on_from_its_state_bit_for_bit() -> None:
    """Stopped after two of four steps, and taken up by a learner that never took one."""
    plan = Plan(batches=((0, 1, 2), (3, 4, 5), (6, 7), (1, 4, 6)))

    def fresh() -> RewardLearner:
        model = reward(heads=2)
        return RewardLearner(model, bradley_terry, changed(anchor=1.0), terms=every_term(model))

    whole, first, second = fresh(), fresh(), fresh()
    assert len(list(whole.steps(pairs(), plan))) == 4
    steps = first.steps(pairs(), plan)
    next(steps), next(steps)
    kept = {name: weights(part) for name, part in first.trained.items()}
    state = first.state_dict()
    with torch.no_grad():
        second.model.head.weight += 1  # where it begins must not matter
        second.began += 1
    for name, part in second.trained.items():
        load_weights(part, kept[name])
    second.load_state_dict(state)
    assert bits(second) == bits(first) != bits(whole)
    assert len(list(second.steps(pairs(), plan, done=2))) == 2
    assert bits(second) == bits(whole)
