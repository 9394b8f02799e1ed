"""A reward model's losses: published numbers, reductions, enumerations, what they rest at."""

from itertools import permutations
from math import comb

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from prefloop.batches import ListScores, PairScores, PointScores
from prefloop.losses.dpo import dpo
from prefloop.losses.reward.bradley_terry import bradley_terry
from prefloop.losses.reward.kwise import kwise
from prefloop.losses.reward.margin import margin
from prefloop.losses.reward.plackett_luce import MOST_TIED, plackett_luce
from prefloop.losses.reward.regression import regression
from prefloop.losses.reward.scaled import scaled
from prefloop.theory.fit import minimise
from worlds import margins

BETTER, WORSE, STRENGTH = (1.2, -0.3, 2.0), (0.4, 0.1, -1.0), (1.0, 1 / 3, 2 / 3)
PAIR_LOSSES = (bradley_terry, margin, scaled)


def batch() -> PairScores:
    """The reward batch of the guidebook, the better response named `a`."""
    return PairScores(
        a=torch.tensor(BETTER),
        b=torch.tensor(WORSE),
        p=torch.ones(3),
        strength=torch.tensor(STRENGTH),
    )


def gaps(gap: Tensor, p: Tensor, strength: Tensor | None = None) -> PairScores:
    """Pairs whose `a` is ahead by so much."""
    return PairScores(a=gap, b=torch.zeros_like(gap), p=p, strength=strength)


def ranked(score: Tensor, rank: Tensor) -> ListScores:
    """One list."""
    return ListScores(score=score, rank=rank, list=torch.zeros(len(score), dtype=torch.long))


def close(found: Tensor, *expected: float) -> None:
    torch.testing.assert_close(found.flatten(), torch.tensor(expected), rtol=0, atol=1e-8)


class TestTheNumbersOfTheGuidebook:
    def test_bradley_terry(self):
        close(bradley_terry(batch()), 0.37110067, 0.91301525, 0.04858735)
        close(bradley_terry(batch()).mean(), 0.44423442)

    def test_the_margin(self):
        close(margin(batch()), 0.79813887, 1.12558168, 0.09255363)
        close(margin(batch()).mean(), 0.67209139)

    def test_the_centring(self):
        close(bradley_terry(batch(), center=0.01).mean(), 0.45623442)

    def test_the_accuracy(self):
        close((batch().gap > 0).double().mean(), 0.66666667)

    def test_the_level_of_a_prompt(self):
        y, level = batch(), torch.tensor([5.0, -3.0, 100.0])
        moved = PairScores(a=y.a + level, b=y.b + level, p=y.p)
        close(bradley_terry(moved).mean(), 0.44423442)

    def test_the_masked_regression_is_the_mean_over_ratings(self):
        """2.3 is the sum of squared errors, of 8 ratings of 2 responses: 4 a response."""
        nan = torch.nan
        y = PointScores(
            score=torch.tensor([[2.8, 2.9, 3.5, 1.4, 1.3], [3.1, 2.0, 3.3, 1.0, 1.5]]),
            target=torch.tensor([[3.0, 3.0, 4.0, 2.0, 2.0], [4.0, nan, 3.0, nan, 1.0]]),
        )
        close(regression(y, known=4.0).mean(), 0.2875)
        close(regression(y), 1.15 / 5, 1.15 / 3)

    def test_the_linear_maximum_likelihood_with_a_ridge(self):
        rows = torch.tensor([[0.5, -0.2], [0.3, 0.4], [-0.6, 0.1]])
        won = torch.tensor([1.0, 0.0, 1.0])
        fitted = lambda w: bradley_terry(gaps(rows @ w, won)).sum() + 0.1 / 2 * w @ w
        close(minimise(fitted, torch.zeros(2)), -0.80880277, -1.73315641)

    def test_dpo_is_bradley_terry_on_the_implicit_reward(self):
        h, p = torch.linspace(-40, 40, 81), torch.linspace(0, 1, 81)
        torch.testing.assert_close(dpo(margins(h, p), beta=0.3), bradley_terry(gaps(0.3 * h, p)))


class TestReductions:
    @pytest.mark.parametrize("loss", PAIR_LOSSES, ids=lambda f: f.__name__)
    def test_centring_adds_the_squared_level(self, loss):
        y = batch()
        torch.testing.assert_close(loss(y, center=0.5) - loss(y), 0.5 * (y.a + y.b) ** 2)

    def test_a_margin_of_nothing_is_no_margin(self):
        torch.testing.assert_close(margin(batch(), scale=0.0), bradley_terry(batch()))

    def test_the_margin_of_a_tie_pulls_both_ways(self):
        y = gaps(torch.zeros(1, requires_grad=True), torch.tensor([0.5]), torch.ones(1))
        (slope,) = torch.autograd.grad(margin(y).sum(), y.a)
        assert slope.item() == 0

    def test_scaled_counts_a_pair_as_often_as_it_is_strong(self):
        y = batch()
        repeated = [bradley_terry(y)[i] * m for i, m in enumerate(STRENGTH)]
        torch.testing.assert_close(scaled(y), torch.stack(repeated))

    @pytest.mark.parametrize("loss", [kwise, plackett_luce], ids=lambda f: f.__name__)
    @pytest.mark.parametrize(("ranks", "p"), [((1, 2), 1.0), ((2, 1), 0.0), ((1, 1), 0.5)])
    def test_a_list_of_two_is_bradley_terry(self, loss, ranks, p):
        score = torch.tensor([0.7, -0.4])
        expected = bradley_terry(gaps(score[:1] - score[1:], torch.tensor([p])))
        torch.testing.assert_close(loss(ranked(score, torch.tensor(ranks).double())), expected)

    @pytest.mark.parametrize("loss", [kwise, plackett_luce], ids=lambda f: f.__name__)
    def test_a_list_of_one_says_nothing(self, loss):
        y = ranked(torch.tensor([0.7], requires_grad=True), torch.ones(1))
        (slope,) = torch.autograd.grad(loss(y).sum(), y.score)
        assert loss(y).tolist() == [0] and slope.tolist() == [0]

    def test_kwise_is_the_mean_over_pairs_however_many(self):
        """At equal scores every pair costs log 2, and so does every list."""
        score, whose = torch.zeros(9), torch.tensor([0] * 2 + [1] * 7)
        y = ListScores(score=score, rank=torch.arange(9.0), list=whose)
        close(kwise(y), *[0.69314718] * 2)

    def test_kwise_by_hand(self):
        score, rank = torch.tensor([0.3, -1.0, 0.8, 0.1]), torch.tensor([2.0, 1.0, 2.0, 3.0])
        pairs = [(i, j) for i in range(4) for j in range(4) if rank[i] < rank[j]]
        sure = bradley_terry(gaps(torch.stack([score[i] - score[j] for i, j in pairs]), one(5)))
        tied = bradley_terry(gaps(score[:1] - score[2:3], 0.5 * one(1)))
        expected = (sure.sum() + tied.sum()) / comb(4, 2)
        torch.testing.assert_close(kwise(ranked(score, rank))[0], expected)


def one(n: int) -> Tensor:
    return torch.ones(n)


def in_order(score: Tensor) -> Tensor:
    """−log-likelihood of the order in which the scores stand, choice by choice."""
    return sum(score[k:].logsumexp(0) - score[k] for k in range(len(score)))


class TestPlackettLuce:
    SCORE = (0.3, -1.0, 0.8, 0.1, 2.0)

    def test_the_likelihoods_of_all_orders_sum_to_one(self):
        score = torch.tensor(self.SCORE)
        orders = list(permutations(range(5)))
        ranks = torch.tensor(orders).double().flatten()
        whose = torch.arange(len(orders)).repeat_interleave(5)
        found = plackett_luce(ListScores(score=score.repeat(len(orders)), rank=ranks, list=whose))
        close((-found).exp().sum(), 1.0)

    def test_it_chooses_the_best_then_the_best_of_the_rest(self):
        score, rank = torch.tensor(self.SCORE), torch.tensor([3.0, 5.0, 2.0, 4.0, 1.0])
        expected = in_order(score[rank.argsort()])
        torch.testing.assert_close(plackett_luce(ranked(score, rank))[0], expected)

    @pytest.mark.parametrize("ranks", [(1, 1, 2, 3, 4), (2, 1, 2, 2, 3), (1, 1, 2, 2, 2), (1,) * 5])
    def test_a_tie_is_the_mean_over_the_orders_of_the_tied(self, ranks):
        score = torch.tensor(self.SCORE)
        allowed = [o for o in permutations(range(5)) if sorted(ranks) == [ranks[i] for i in o]]
        expected = torch.stack([in_order(score[list(o)]) for o in allowed]).mean()
        found = plackett_luce(ranked(score, torch.tensor(ranks).double()))[0]
        torch.testing.assert_close(found, expected)

    def test_too_many_ties_are_refused(self):
        n = MOST_TIED + 1
        with pytest.raises(ValueError, match=rf"at most {MOST_TIED} .* got {n}: .*; kwise"):
            plackett_luce(ranked(torch.zeros(n), torch.ones(n)))
        assert plackett_luce(ranked(torch.zeros(n - 1), torch.ones(n - 1))).isfinite().all()


class TestRegression:
    def test_with_the_number_known_any_split_has_the_mean_of_the_whole(self):
        g = torch.Generator().manual_seed(0)
        score, target = torch.randn(12, 3, generator=g), torch.randn(12, 3, generator=g)
        target[torch.rand(12, 3, generator=g) < 0.4] = torch.nan
        told = ~target.isnan()
        known = float(told.sum() / 12)
        whole = (score - target)[told].square().mean()
        parts = [
            regression(PointScores(score=score[s], target=target[s]), known=known)
            for s in (slice(0, 5), slice(5, 6), slice(6, 12))
        ]
        torch.testing.assert_close(torch.cat(parts).mean(), whole)

    def test_a_lone_rating_counts_as_much_as_several(self):
        y = PointScores(
            score=torch.ones(3, 2),
            target=torch.tensor([[3.0, torch.nan], [3.0, 3.0], [torch.nan, torch.nan]]),
        )
        assert regression(y).tolist() == [4, 4, 0]

    def test_an_infinite_rating_is_not_an_unknown_one(self):
        y = PointScores(score=torch.zeros(1, 2), target=torch.tensor([[torch.inf, 1.0]]))
        assert regression(y).isinf().all()

    @pytest.mark.parametrize("known", [0.0, -1.0, torch.nan])
    def test_a_response_has_some_ratings(self, known):
        y = PointScores(score=torch.zeros(1, 2), target=torch.zeros(1, 2))
        with pytest.raises(ValueError, match="known must be positive"):
            regression(y, known=known)


def test_it_is_binary_cross_entropy_on_the_gap():
    """What AlpacaFarm calls it; dL/dr_w = −(1 − σ(r_w − r_l))/B of the batch's mean."""
    y = batch()
    y.a.requires_grad_()
    theirs = binary_cross_entropy_with_logits(y.gap, y.p)
    torch.testing.assert_close(bradley_terry(y).mean(), theirs)
    (slope,) = torch.autograd.grad(bradley_terry(y).mean(), y.a)
    torch.testing.assert_close(slope, -(1 - torch.sigmoid(y.gap.detach())) / 3)


@pytest.mark.parametrize(("gap", "expected"), [(0.5, 0.246154), (4.0, 1.051208), (60, 1.098612)])
def test_a_quarter_of_labels_flipped_saturates_the_gap_at_log_3(gap, expected):
    """AlpacaFarm's noise: half the labels are a fair coin."""
    p = 0.5 * torch.sigmoid(torch.tensor([float(gap)])) + 0.25
    found = minimise(lambda x: bradley_terry(gaps(x, p)).sum(), torch.zeros(1))
    assert found.item() == pytest.approx(expected, abs=1e-6)


WIDTH = 8


def learned(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """A linear reward, and the one fitted to n sampled comparisons."""
    g = torch.Generator().manual_seed(seed)
    truth = torch.randn(WIDTH, generator=g)
    rows = torch.randn(n, WIDTH, generator=g)
    won = (torch.rand(n, generator=g) < torch.sigmoid(rows @ truth)).double()
    return truth, minimise(lambda w: bradley_terry(gaps(rows @ w, won)).mean(), 0 * truth)


def direction_error(truth: Tensor, found: Tensor) -> float:
    return float((truth / truth.norm() - found / found.norm()).norm())


def test_five_thousand_comparisons_recover_a_linear_reward():
    truth, found = learned(5000, seed=0)
    features = torch.randn(2000, WIDTH, generator=torch.Generator().manual_seed(9))
    both = torch.stack([features @ truth, features @ found])
    assert float(both.corrcoef()[0, 1]) > 0.98
    assert direction_error(truth, found) < 2 * (WIDTH / 5000) ** 0.5


def test_the_error_of_the_direction_falls_like_one_over_root_n():
    sizes = (500, 2000, 8000)
    errors = [sum(direction_error(*learned(n, seed)) for seed in range(8)) / 8 for n in sizes]
    steps = torch.tensor(errors).log().diff() / torch.tensor(sizes).double().log().diff()
    assert float(steps.mean()) == pytest.approx(-0.5, abs=0.1)
