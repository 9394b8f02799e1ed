"""Closed forms against enumeration, an optimiser, or published check numbers."""

from itertools import product

import guide
import pytest
import torch
from guide import close, world
from torch.autograd.functional import hessian

from prefloop.theory import closed, comparisons, counts, games
from prefloop.theory.claim import dice, law, normal, preferences, win_counts
from prefloop.theory.fit import NoMinimum, minimise
from prefloop.theory.newton import settle

pytestmark = pytest.mark.usefixtures("float64")


def test_the_tilt_has_the_guides_numbers():
    prior, reward = world()
    best = closed.tilt(prior, reward, 0.5)
    close(best.exp(), 0.1174981912, 0.0181091858, 0.2909861755, 0.0358781537, 0.5375282937)
    close(closed.kl(best, prior), 1.1574609017)
    close(closed.value(prior, reward, 0.5), 0.8125208036)
    close(closed.gap(prior, prior, reward, 0.5), 0.5275208036)


def test_a_hard_policy_has_a_finite_kl_from_a_soft_one():
    prior, _ = world()
    certain = torch.full((5,), -torch.inf)
    certain[4] = 0.0
    close(closed.kl(certain, prior), -float(torch.tensor(0.05).log()))


def test_as_beta_falls_only_the_best_response_is_left():
    prior, reward = world()
    assert closed.tilt(prior, reward, 1e-3).exp()[4].item() == pytest.approx(1)
    torch.testing.assert_close(closed.tilt(prior, reward, 1e9), prior)


@pytest.mark.parametrize(
    ("n", "kl", "mean_best", "mean_worst"),
    [
        (2, 0.1680598991, 0.61775, -0.04775),
        (4, 0.5810220897, 0.943424375, -0.274274375),
        (16, 1.6540643011, 1.5527559796, -0.4929841777),
    ],
)
def test_best_of_n_has_the_guides_numbers(n, kl, mean_best, mean_worst):
    prior, reward = world()
    best = closed.best_of(prior, reward, n)
    close(closed.kl(best.log(), prior), kl)
    close(best @ reward, mean_best)
    close(closed.worst_of(prior, reward, n) @ reward, mean_worst)


def test_the_best_of_one_is_a_draw():
    prior, reward = world()
    torch.testing.assert_close(closed.best_of(prior, reward, 1), prior.exp())


def test_rejection_sampling_accepts_as_the_guide_says():
    prior, reward = world()
    steps = [prior, *(closed.tilt(prior, reward, beta) for beta in (0.2, 0.1))]
    close(closed.accepted(prior, closed.tilt(prior, reward, 0.5)), 0.0930183594)
    close(closed.accepted(prior, steps[2]), 0.0500090902)
    close(closed.accepted(prior, steps[1]), 0.0514182318)
    close(closed.accepted(steps[1], steps[2]), 0.9725945146)


def test_the_bradley_terry_fit_has_the_guides_numbers():
    wins = torch.tensor([[0, 6, 7, 9], [4, 0, 5, 8], [3, 5, 0, 6], [1, 2, 4, 0.0]])
    reward = comparisons.bradley_terry(wins)
    close(reward, 0.7999683792, 0.2245195875, -0.1043741324, -0.9201138344)
    close(comparisons.loss(wins, reward), 35.2880981149)
    spectrum = torch.linalg.eigvalsh(comparisons.curvature(wins, reward))
    close(spectrum, 0, 6.6522167915, 8.3610661720, 9.0559531688)


def test_the_fit_with_a_ridge_is_the_posterior_mode():
    wins = win_counts(dice(0), 5)
    wins[:, 0] = 0
    expected = minimise(lambda r: comparisons.loss(wins, r, ridge=0.5), torch.zeros(5))
    torch.testing.assert_close(comparisons.bradley_terry(wins, ridge=0.5), expected)


def test_the_curvature_is_the_hessian_of_the_loss():
    wins, at = win_counts(dice(1), 4), normal(dice(2), 4)
    bent = hessian(lambda r: comparisons.loss(wins, r, ridge=0.3), at)
    torch.testing.assert_close(comparisons.curvature(wins, at, ridge=0.3), bent)


def test_without_a_cycle_of_wins_there_is_no_fit():
    wins = torch.tensor([[0, 3.0], [0, 0]])
    assert not comparisons.has_fit(wins)
    with pytest.raises(NoMinimum, match="ridge above 0"):
        comparisons.bradley_terry(wins)
    with pytest.raises(NoMinimum, match="no minimiser"):
        minimise(lambda r: comparisons.loss(wins, r), torch.zeros(2))


@pytest.mark.parametrize("beta", [0.1, 1.0, 5.0])
def test_a_tail_is_no_minimum_at_any_beta(beta):
    with pytest.raises(NoMinimum):
        minimise(lambda h: torch.nn.functional.softplus(-beta * h).sum(), torch.zeros(1))


def test_a_sum_of_exponentials_far_from_the_start_is_a_minimum():
    found = minimise(lambda x: (x.exp() + (12 - x).exp()).sum(), torch.zeros(1))
    close(found, 6.0)


def test_widths_have_the_guides_numbers():
    phi = torch.tensor([[1, 0, 0], [0, 1, 0], [0.6, 0.6, 0], [0, 0, 1], [0.5, 0, 0.5]])
    compared = {(0, 1): 17, (0, 2): 11, (1, 2): 11, (1, 3): 3}
    rows = [(phi[i] - phi[j]).expand(n, 3) for (i, j), n in compared.items()]
    cov = comparisons.covariance(torch.cat(rows))
    close(cov, 23.72, -22.28, 0, -22.28, 26.72, -3, 0, -3, 4)
    centre = torch.tensor([0.3, 0.3, 0.2, 0.1, 0.1]) @ phi
    widths = comparisons.width(phi, centre, cov)
    close(widths, 0.1334418813, 0.1230004900, 0.1283969583, 0.4517713428, 0.1881057987)
    low, high = comparisons.bounds(torch.zeros(5), widths, 0.6)
    torch.testing.assert_close(high, -low)


def test_the_limit_of_optimism_has_the_guides_numbers():
    wins = guide.wins()
    laws = (torch.tensor(guide.PRIOR), torch.full((5,), 0.2), wins.sum(1) / wins.sum())
    limits = [comparisons.optimism_limit(wins, calibration) for calibration in laws]
    close(limits, 3.1578947368, 3.75, 3.2571428571)


def test_the_limit_of_optimism_by_walking_every_ray():
    """Along t·1_S the loss ends with slope losses(S) − α(1 − π_cal(S)), by autograd at t = 60."""
    wins, calibration = win_counts(dice(3), 4), law(dice(4), 4).exp()
    limits = []
    for flags in list(product((0.0, 1.0), repeat=4))[1:-1]:
        ray = torch.tensor(flags)
        slope = torch.func.grad(lambda t, ray=ray: comparisons.loss(wins, t * ray))
        limits.append(float(slope(torch.tensor(60.0)) / (1 - calibration @ ray)))
    assert comparisons.optimism_limit(wins, calibration) == pytest.approx(min(limits))


def test_the_nash_point_has_the_guides_numbers():
    prior, payoff = torch.tensor([0.5, 0.3, 0.2]).log(), games.cycle(0.3, 0.2, 0.1)
    close(payoff, 0.5, 0.8, 0.3, 0.2, 0.5, 0.6, 0.7, 0.4, 0.5)
    point = games.nash(prior, payoff, 0.5).exp()
    close(point, 0.5290067830, 0.2320417642, 0.2389514528)
    point = games.nash(prior, payoff, 0.1).exp()
    close(point, 0.3975252376, 0.1644479142, 0.4380268483)


def test_nash_md_has_the_guides_numbers():
    prior, payoff = torch.tensor([0.5, 0.3, 0.2]).log(), games.cycle(0.3, 0.2, 0.1)
    best, policy, found = games.nash(prior, payoff, 0.1), prior, {}
    for t in range(100):
        policy = games.nash_md(policy, prior, payoff, 0.1, 2 / (0.1 * (t + 2)))
        found[t + 1] = float(closed.kl(best, policy))
    close([found[t] for t in (1, 2, 5, 10)], 0.1309258699, 0.0764574926, 0.028932705, 0.0081449984)
    assert found[100] == pytest.approx(5.09474e-5, rel=1e-5)


def test_a_step_too_long_for_the_mixture_is_refused():
    prior = torch.zeros(3).log_softmax(0)
    with pytest.raises(ValueError, match="must lie in"):
        games.nash_md(prior, prior, games.cycle(0.1, 0.1, 0.1), 0.5, 3.0)


@pytest.mark.parametrize("seed", range(5))
def test_anything_but_the_nash_point_can_be_exploited(seed):
    g = dice(seed)
    prior, payoff = law(g, 5), preferences(g, 5)
    best = games.nash(prior, payoff, 0.2)
    assert abs(games.exploitability(best, prior, payoff, 0.2)) < 1e-12
    assert games.exploitability(law(g, 5), prior, payoff, 0.2) > 1e-3


def test_coins_agree_with_tossing_them():
    tosses = torch.randint(0, 2, (40_000, 6, 20), generator=dice(5)) * 2.0 - 1
    estimates = (tosses.mean(1) ** 2).mean(1)
    assert estimates.mean().item() == pytest.approx(counts.coin_mean(6), rel=0.01)
    assert estimates.var().item() == pytest.approx(counts.coin_variance(6, 20), rel=0.03)


def test_a_fit_that_does_not_settle_says_so():
    wins = win_counts(dice(6), 4)
    with pytest.raises(NoMinimum, match="no rest was found in 1 steps"):
        settle(comparisons.likelihood(wins), torch.zeros(4), steps=1)
