"""The members spread like the posterior, agree on what was asked, and forget nothing."""

from math import exp, log

import numpy as np
import pytest
import torch

from prefloop.explore._anchored import Anchored
from prefloop.explore._ensemble import Ensemble
from prefloop.explore.infomax import infomax
from prefloop.theory import comparisons
from worlds import candidates

WINS = np.array([[0, 6, 7, 9], [4, 0, 5, 8], [3, 5, 0, 6], [1, 2, 4, 0]])
"""who beat whom how often, row over column; below every comparison is made ten times over"""
OFTEN = 10
RIDGE = 0.5


def some(rows: int, dimension: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, dimension))


def answered(rows: int, dimension: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Differences and labels, soft ones too."""
    return some(rows, dimension, seed), np.random.default_rng(seed + 99).choice([0, 0.3, 1], rows)


def fitted(differences: np.ndarray, p: np.ndarray, **settings: float) -> Ensemble:
    found = Ensemble(**settings)
    found.add(differences, p)
    found.fit()
    return found


@pytest.fixture(scope="module")
def tournament() -> Ensemble:
    """600 certain answers about four arms, and 1,024 members."""
    arms, rows = np.eye(4), []
    for i in range(4):
        for j in range(4):
            rows += [arms[i] - arms[j]] * int(OFTEN * WINS[i, j])
    return fitted(np.array(rows), np.ones(len(rows)), members=1024, ridge=RIDGE)


@pytest.fixture(scope="module")
def posterior() -> tuple[np.ndarray, np.ndarray]:
    """Bradley–Terry MAP and Laplace covariance of the tournament, from the lab."""
    wins = torch.from_numpy(OFTEN * WINS).double()
    best = comparisons.bradley_terry(wins, ridge=RIDGE)
    return best.numpy(), comparisons.curvature(wins, best, ridge=RIDGE).inverse().numpy()


def of_differences(covariance: np.ndarray) -> np.ndarray:
    """Var[r_i − r_j] of every i < j."""
    i, j = np.triu_indices(len(covariance), k=1)
    return covariance[i, i] + covariance[j, j] - 2 * covariance[i, j]


class TestSpread:
    def test_differences_vary_over_members_like_the_laplace_posterior(self, tournament, posterior):
        """To 15 %: a variance of 1,024 members has a standard error of 4 %, and the bootstrap sees
        the labels that were given where Laplace takes their expectation."""
        spread = of_differences(np.cov(tournament.scores(np.eye(4)).T))
        np.testing.assert_allclose(spread, of_differences(posterior[1]), rtol=0.15)

    def test_it_is_the_bootstraps_covariance_and_the_anchors(self, tournament, posterior):
        """H⁻¹ (Σ ggᵀ + ridge I) H⁻¹, to three standard errors; it is H⁻¹ where labels vary as the
        fit says they do."""
        reward, cov = posterior
        lost = 1 / (1 + np.exp(reward[:, None] - reward[None, :]))
        heat = OFTEN * WINS * lost**2
        heat = np.diag(heat.sum(0) + heat.sum(1)) - heat - heat.T + RIDGE * np.eye(4)
        spread = of_differences(np.cov(tournament.scores(np.eye(4)).T))
        np.testing.assert_allclose(spread, of_differences(cov @ heat @ cov), rtol=0.13)

    def test_their_mean_is_the_bradley_terry_map(self, tournament, posterior):
        """To a tenth of the posterior's standard deviation; see the rate below."""
        reward, cov = posterior
        mean = tournament.mean(np.eye(4))
        i, j = np.triu_indices(4, k=1)
        error = (mean[i] - mean[j]) - (reward[i] - reward[j])
        assert np.abs(error / np.sqrt(of_differences(cov))).max() < 0.1

    def test_the_mean_of_m_members_approaches_it_like_one_over_the_root_of_m(
        self, tournament, posterior
    ):
        gap = np.array([1.0, 0.0, 0.0, -1.0])
        each, truth = gap @ tournament.scores(np.eye(4)).T, gap @ posterior[0]
        sizes = [1, 4, 16, 64]
        errors = [np.sqrt(((each.reshape(-1, m).mean(1) - truth) ** 2).mean()) for m in sizes]
        assert np.polyfit(np.log(sizes), np.log(errors), 1)[0] == pytest.approx(-0.5, abs=0.1)

    def test_without_answers_it_is_the_priors(self):
        """Var[θ·δ] = ‖δ‖²/ridge; four standard errors of a variance from 2,000 members are 13 %."""
        scores = Ensemble(members=2000, ridge=4.0).scores(np.array([[1.0, 2.0, 2.0]]))
        assert scores.var(ddof=1) == pytest.approx(9 / 4, rel=0.13)
        assert abs(scores.mean()) < 4 * np.sqrt(9 / 4 / 2000)

    def test_where_nothing_was_asked_the_prior_stays_as_it_was(self):
        ensemble = Ensemble(members=8)
        unseen, seen = np.array([[0.0, 3.0]]), np.array([[1.0, 0.0]])
        before = ensemble.scores(unseen), ensemble.scores(seen)
        ensemble.add(np.repeat(seen, 100, axis=0), np.tile([1.0, 0.0], 50))
        ensemble.fit()
        np.testing.assert_allclose(ensemble.scores(unseen), before[0], atol=1e-12)
        assert ensemble.scores(seen).std() < before[1].std() / 3

    def test_answers_end_a_dispute_and_the_next_question_is_another(self):
        ensemble, phi = Ensemble(members=16), np.eye(4)
        seen = set()
        for _ in range(6):
            asked = candidates([" a", " b", " c", " d"], ensemble.scores(phi).tolist())
            a, b = infomax(asked, np.random.default_rng(0))
            seen.add((a, b))
            ensemble.add(np.repeat(phi[[a]] - phi[[b]], 40, axis=0), np.tile([1.0, 0.0], 20))
            ensemble.fit()
        assert len(seen) >= 3


class TestMinimum:
    @pytest.mark.parametrize(("pairs", "dimension"), [(40, 3), (5, 12), (12, 12), (1, 200)])
    def test_every_member_rests_where_its_own_slope_is_zero(self, pairs, dimension):
        """By the plain loop over its weighted answers and its anchor."""
        rows, p = answered(pairs, dimension)
        ensemble = fitted(rows, p, members=3, ridge=0.7)
        anchors, weights = ensemble._anchors(dimension), ensemble._weights()
        for theta, anchor, weight in zip(
            ensemble.state_dict()["thetas"], anchors, weights, strict=True
        ):
            slope = 0.7 * (theta - anchor)
            for row, label, w in zip(rows, p, weight, strict=True):
                slope = slope + w * (1 / (1 + exp(-float(theta @ row))) - label) * row
            assert np.abs(slope).max() < 1e-11

    def test_one_pair_in_one_dimension_by_hand(self):
        """σ(θ) + ridge θ = 1 at the root; anchor 0, weight 1, p = 1."""
        one = np.ones((1, 1))
        problem = Anchored(rows=one, p=np.ones(1), weights=one, anchors=0 * one, ridge=0.5)
        theta = float(problem.minimum(0 * one)[0, 0])
        assert 1 / (1 + exp(-theta)) + 0.5 * theta == pytest.approx(1, abs=1e-14)
        assert float(problem.value(theta * one)[0]) == pytest.approx(
            log(1 + exp(-theta)) + theta**2 / 4, abs=1e-14
        )

    def test_a_slope_is_a_difference_of_values(self):
        rows, p = answered(6, 4)
        problem = Anchored(
            rows=rows, p=p, weights=np.abs(some(2, 6)), anchors=some(2, 4), ridge=0.3
        )
        thetas, step = some(2, 4, seed=5), 1e-6 * np.eye(4)
        for k in range(4):
            up, down = problem.value(thetas + step[k]), problem.value(thetas - step[k])
            np.testing.assert_allclose(problem.slope(thetas)[:, k], (up - down) / 2e-6, rtol=1e-7)

    @pytest.mark.parametrize("ridge", [1e-4, 1.0])
    @pytest.mark.parametrize("size", [1.0, 1e3])
    def test_answers_without_exception_still_have_a_minimum(self, ridge, size):
        rows = size * np.abs(some(30, 4))
        ensemble = fitted(rows, np.ones(30), members=4, ridge=ridge)
        assert np.isfinite(ensemble.scores(np.eye(4))).all()
        assert (ensemble.scores(rows) > 0).all()

    def test_members_that_do_not_come_to_rest_are_reported(self, monkeypatch):
        monkeypatch.setattr("prefloop.explore._anchored.STEPS", 1)
        with pytest.raises(ArithmeticError, match=r"no rest in 1 steps.*ridge 1 .*; raise explore"):
            fitted(*answered(9, 3))

    def test_members_solved_in_portions_are_the_same(self, monkeypatch):
        rows, p = answered(20, 3)
        whole = fitted(rows, p, members=7).scores(np.eye(3))
        monkeypatch.setattr("prefloop.explore._ensemble.LARGEST", 150)
        parts = fitted(rows, p, members=7)
        assert len(list(parts._together())) == 4
        np.testing.assert_allclose(parts.scores(np.eye(3)), whole, rtol=1e-12)

    def test_starting_from_the_last_fit_leads_to_the_same_place(self):
        rows, p = answered(60, 8)
        warm = Ensemble(members=4)
        for some_rows, some_p in zip(np.split(rows, 12), np.split(p, 12), strict=True):
            warm.add(some_rows, some_p)
            warm.fit()
        cold = fitted(rows, p, members=4)
        np.testing.assert_allclose(warm.scores(np.eye(8)), cold.scores(np.eye(8)), rtol=1e-9)

    def test_naming_a_pair_the_other_way_round_changes_nothing(self):
        rows, p = answered(9, 5)
        turned = fitted(-rows, 1 - p).scores(np.eye(5))
        np.testing.assert_allclose(turned, fitted(rows, p).scores(np.eye(5)), rtol=1e-10)

    def test_a_tie_pulls_the_two_together(self):
        tied, row = Ensemble(members=16), np.array([[3.0, 0.0]])
        before = np.abs(tied.scores(row))
        tied.add(np.repeat(row, 5, axis=0), np.full(5, 0.5))
        tied.fit()
        assert (np.abs(tied.scores(row)) < before).all()


class TestDraws:
    def test_new_answers_leave_the_draws_of_old_ones_alone(self):
        short, long = Ensemble(), Ensemble()
        short.add(*answered(5, 2))
        long.add(*answered(500, 2))
        np.testing.assert_array_equal(short._weights(), long._weights()[:, :5])
        np.testing.assert_array_equal(short._anchors(2), long._anchors(2))

    def test_further_members_leave_the_first_alone(self):
        rows, p = answered(12, 3)
        few, many = fitted(rows, p, members=2), fitted(rows, p, members=9)
        np.testing.assert_allclose(few.scores(np.eye(3)), many.scores(np.eye(3))[:2], rtol=1e-12)

    def test_weights_are_exponential_with_mean_one_and_none_is_another(self):
        ensemble = Ensemble(members=50)
        ensemble.add(*answered(400, 2))
        weights = ensemble._weights()
        assert weights.mean() == pytest.approx(1, abs=4 / np.sqrt(20_000))
        assert (weights > 1).mean() == pytest.approx(exp(-1), abs=4 * 0.5 / np.sqrt(20_000))
        assert len(np.unique(weights)) == weights.size

    def test_weights_know_nothing_of_the_anchors(self):
        """Not even of their size, which they would if both came from one stream."""
        ensemble = Ensemble(members=1000)
        ensemble.add(*answered(4, 4))
        weights, anchors = ensemble._weights().ravel(), ensemble._anchors(4).ravel()
        for other in (anchors, np.abs(anchors)):
            assert abs(np.corrcoef(weights, other)[0, 1]) < 4 / np.sqrt(4000)

    def test_another_seed_gives_other_members(self):
        assert (Ensemble(seed=0).scores(np.eye(3)) != Ensemble(seed=1).scores(np.eye(3))).all()


class TestState:
    @pytest.mark.parametrize("dimension", [3, 40])
    def test_a_copy_from_its_state_goes_on_bit_by_bit(self, dimension):
        first = fitted(*answered(10, dimension), members=4, seed=3)
        copy = Ensemble(members=4, seed=3)
        copy.load_state_dict({k: np.array(v) for k, v in first.state_dict().items()})
        phi = some(6, dimension, seed=8)
        np.testing.assert_array_equal(copy.scores(phi), first.scores(phi))
        for each in (first, copy):
            each.add(*answered(7, dimension, seed=4))
            each.fit()
        np.testing.assert_array_equal(copy.scores(phi), first.scores(phi))

    def test_answers_that_were_not_fitted_yet_are_kept(self):
        first, copy = Ensemble(members=2), Ensemble(members=2)
        first.add(*answered(4, 3))
        copy.load_state_dict(first.state_dict())
        first.fit()
        copy.fit()
        np.testing.assert_array_equal(copy.scores(np.eye(3)), first.scores(np.eye(3)))

    def test_an_empty_state_forgets_everything(self):
        ensemble = fitted(*answered(4, 3))
        ensemble.load_state_dict({})
        assert ensemble.state_dict() == Ensemble().state_dict() == {}
        np.testing.assert_array_equal(ensemble.scores(np.eye(5)), Ensemble().scores(np.eye(5)))

    def test_a_state_of_other_members_is_refused(self):
        state = fitted(*answered(4, 3), members=4).state_dict()
        with pytest.raises(ValueError, match=r"must be the 4 that were fitted, got 8; set explore"):
            Ensemble(members=8).load_state_dict(state)


class TestBadInput:
    def test_features_of_another_dimension(self):
        ensemble = fitted(*answered(4, 3))
        for call in (ensemble.scores, ensemble.mean, lambda x: ensemble.add(x, np.ones(2))):
            with pytest.raises(ValueError, match=r"the 3 dimensions .* got 5: after a model chang"):
                call(np.ones((2, 5)))

    def test_features_that_are_no_numbers(self):
        for bad in (np.nan, np.inf):
            with pytest.raises(ValueError, match=r"finite, got NaN or infinity in row 0 of 1"):
                Ensemble().add(np.array([[bad, 1.0]]), np.ones(1))
            with pytest.raises(ValueError, match=r"finite, got NaN or infinity in row 0 of 1"):
                Ensemble().scores(np.array([[bad, 1.0]]))

    @pytest.mark.parametrize("bad", [-0.1, 1.5, np.nan])
    def test_labels_that_are_no_probabilities(self, bad):
        with pytest.raises(ValueError, match=rf"p must lie in \[0, 1\], got {bad}; it is P"):
            Ensemble().add(np.ones((2, 2)), np.array([0.5, bad]))

    def test_a_refused_answer_leaves_no_trace(self):
        ensemble = fitted(*answered(4, 3))
        with pytest.raises(ValueError, match=r"p must lie"):
            ensemble.add(np.ones((1, 3)), np.array([2.0]))
        assert len(ensemble.state_dict()["differences"]) == len(ensemble.state_dict()["p"]) == 4

    def test_settings_that_cannot_be(self):
        with pytest.raises(ValueError, match=r"members must be at least 2 to disagree, got 1"):
            Ensemble(members=1)
        with pytest.raises(ValueError, match=r"ridge must be positive and finite, got 0"):
            Ensemble(ridge=0.0)
