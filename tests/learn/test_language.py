"""The preferred responses' likelihood under a reward model's trunk and a frozen vocabulary head."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from test_reward_learner import pairs, policy, rankings, ratings, reward
from torch import Tensor

from prefloop.config import ConfigError
from prefloop.learn.facts import Row, responses_of
from prefloop.learn.language import Language
from prefloop.learn.terms import Turn
from prefloop.models.reward import RewardModel
from prefloop.models.vocabulary import Vocabulary
from prefloop.types import Preference, Ranking

NAMES = ("pairs", "lists", "one twice", "two best")


def turn(rows: Sequence[Row], budget: int = 10_000) -> Turn:
    return Turn(number=0, rows=rows, total=99, budget=budget)


def term(model: RewardModel, weight: float = 0.3) -> Language:
    return Language(model=model, vocabulary=Vocabulary.of(policy().model), weight=weight)


def shares(row: Any) -> tuple[float, ...]:
    """How much of the row's preference each of its responses has."""
    if isinstance(row, Preference):
        return (row.p, 1 - row.p)
    best = [rank == min(row.ranks) for rank in row.ranks]
    return tuple(is_best / sum(best) for is_best in best)


def by_hand(model: RewardModel, rows: Sequence[Row]) -> Tensor:
    """Σ w · (−log π) / Σ w · length, every sequence alone, all logits at once."""
    head = policy().model.get_output_embeddings().weight.detach()
    surprise, tokens = torch.zeros(()), 0.0
    for row in rows:
        for response, weight in zip(responses_of(row), shares(row), strict=True):
            ids = torch.tensor([[*response.prompt.tokens, *response.tokens]])
            states = model.model.base_model(input_ids=ids, use_cache=False).last_hidden_state[0]
            logps = (states @ head.T).log_softmax(-1)[:-1].gather(1, ids[0, 1:, None])
            surprise = surprise - weight * logps[len(response.prompt.tokens) - 1 :].sum()
            tokens += weight * len(response.tokens)
    return surprise / tokens


def twice() -> list[Row]:
    """Two pairs in which the same response is preferred."""
    (first, second), p = pairs()[:2], 0.9
    assert isinstance(first, Preference) and isinstance(second, Preference)
    again = replace(second.query, a=first.query.a)
    return [replace(first, p=p), replace(second, query=again, p=p)]


def tied() -> list[Row]:
    """A list with two best, and one with one."""
    first, second = rankings()[:2]
    assert isinstance(first, Ranking)
    return [replace(first, ranks=(1.0, 2.0, 1.0, 3.0)), second]


@pytest.mark.parametrize("budget", [1, 30, 10_000])
@pytest.mark.parametrize("rows", [pairs(), rankings(), twice(), tied()], ids=NAMES)
def test_it_is_the_mean_surprise_of_a_preferred_token(rows: Sequence[Row], budget: int) -> None:
    model, twin = reward(), reward()
    value = term(model).gradient(turn(rows, budget))
    expected = 0.3 * by_hand(twin, rows)
    expected.backward()  # type: ignore[no-untyped-call]
    assert value == pytest.approx(expected.item(), rel=1e-5)
    trunk, other = model.model.base_model, twin.model.base_model
    for p, q in zip(trunk.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-4, atol=1e-6)
        assert p.grad.abs().max() > 0
    assert model.head.weight.grad is None


def test_a_response_that_lost_for_sure_is_not_even_read(monkeypatch: pytest.MonkeyPatch) -> None:
    sure = [Preference(query=row.query, p=1.0) for row in pairs() if isinstance(row, Preference)]
    model, seen = reward(), []
    usual = model.predictors
    monkeypatch.setattr(model, "predictors", lambda rs: seen.extend(rs) or usual(rs))
    term(model).gradient(turn(sure))
    assert sorted(r.id for r in seen) == sorted(row.query.a.id for row in sure)


def test_at_the_policys_own_trunk_it_is_the_policys_own_surprise() -> None:
    chosen = [r for row in pairs() for r in responses_of(row)]
    told = [Preference(query=row.query, p=0.5) for row in pairs() if isinstance(row, Preference)]
    with torch.no_grad():
        expected = -policy().logps(chosen).sum() / sum(len(r.tokens) for r in chosen)
    assert term(reward(), weight=1.0).gradient(turn(told)) == pytest.approx(expected.item())


def test_the_head_is_frozen_and_stays_as_it_was() -> None:
    trained = policy()
    found = Vocabulary.of(trained.model)
    before = found.weight.clone()
    Language(model=reward(), vocabulary=found, weight=1.0).gradient(turn(pairs()))
    assert all(p.grad is None for p in trained.model.parameters())
    with torch.no_grad():
        trained.model.get_output_embeddings().weight.add_(1)
    assert torch.equal(found.weight, before)


def test_ratings_prefer_nothing_and_are_refused() -> None:
    with pytest.raises(TypeError, match="needs rows that prefer a response, got a Rating"):
        term(reward()).gradient(turn(ratings()))


def test_a_model_that_caps_its_logits_is_refused() -> None:
    capped = policy().model
    capped.config.final_logit_softcapping = 30.0
    with pytest.raises(ConfigError, match=r"changes its logits \(final_logit_softcapping = 30"):
        Vocabulary.of(capped)
