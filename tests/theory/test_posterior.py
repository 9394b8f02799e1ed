"""What the answers leave open: the Laplace posterior and the rule that needs all of it."""

import numpy as np
import pytest
import torch

from prefloop.theory import closed, comparisons
from prefloop.theory.claim import dice, law, win_counts
from prefloop.theory.posterior import Posterior
from prefloop.theory.rules import gibbs_thompson
from prefloop.theory.world import bandits
from prefloop.types import Candidates

pytestmark = pytest.mark.usefixtures("float64")


def posterior() -> tuple[Posterior, torch.Tensor]:
    """Of two prompts, and its covariance."""
    wins = torch.stack([win_counts(dice(seed), 4) for seed in (1, 2)])
    mode = comparisons.bradley_terry(wins, ridge=0.5)
    cov = torch.linalg.inv(comparisons.curvature(wins, mode, ridge=0.5))
    return Posterior.laplace(wins, mode, ridge=0.5), cov


def test_the_members_have_the_posteriors_mean_and_covariance_exactly():
    found, cov = posterior()
    drawn = torch.from_numpy(found.draw(9, np.random.default_rng(0)))
    assert drawn.shape == (2, 9, 4)
    torch.testing.assert_close(drawn.mean(1), found.mode)
    for x in range(2):
        torch.testing.assert_close(torch.cov(drawn[x].T), cov[x])


def test_a_member_is_spread_like_the_posterior():
    """Over 4,000 draws a member's variance is within 10 % of (1 − 1/M) of the posterior's."""
    found, cov = posterior()
    rng = np.random.default_rng(1)
    first = np.stack([found.draw(9, rng)[:, 0] for _ in range(4000)])
    expected = 8 / 9 * cov.diagonal(dim1=1, dim2=2).numpy()
    np.testing.assert_allclose(first.var(0), expected, rtol=0.1)


def test_features_lie_as_far_apart_as_rewards_are_uncertain():
    found, cov = posterior()
    phi = found.features
    for x, i, j in ((0, 0, 1), (1, 2, 3)):
        variance = cov[x, i, i] + cov[x, j, j] - 2 * cov[x, i, j]
        assert ((phi[x, i] - phi[x, j]) ** 2).sum() == pytest.approx(float(variance))


def test_a_posterior_needs_a_ridge_and_enough_members():
    wins = win_counts(dice(1), 4)[None]
    mode = comparisons.bradley_terry(wins, ridge=1.0)
    with pytest.raises(ValueError, match=r"ridge must be positive.*got 0"):
        Posterior.laplace(wins, mode, ridge=0.0)
    with pytest.raises(ValueError, match=r"more than the 4 responses.*got 4; raise Lab\(members"):
        Posterior.laplace(wins, mode, ridge=1.0).draw(4, np.random.default_rng(0))


def test_gibbs_thompson_draws_from_the_tilts_of_two_members():
    """Of 8,000 draws each count is within five standard errors of the tilt's."""
    world, n = bandits([3], responses=4), 8000
    prior, rewards = world.prior[0], law(dice(7), 2, 4)
    responses = tuple(
        world.response(0, y, logp=float(prior[y]), source="reference") for y in range(4)
    )
    options = Candidates(prompt=world.prompts[0], responses=responses, scores=rewards.numpy())
    rng = np.random.default_rng(0)
    drawn = torch.tensor([gibbs_thompson(options, rng, beta=0.5) for _ in range(n)])
    for side in range(2):
        expected = closed.tilt(prior, rewards[side], 0.5).exp()
        counts = torch.bincount(drawn[:, side], minlength=4)
        assert ((counts - n * expected).abs() < 5 * (n * expected * (1 - expected)).sqrt()).all()
