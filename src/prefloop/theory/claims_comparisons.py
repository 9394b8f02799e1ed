"""Claims about Bradley–Terry fits, confidence widths and value-biased fits (VPO)."""

from itertools import product

import torch
from torch import Tensor

from prefloop.theory import closed, comparisons
from prefloop.theory.claim import claim, dice, farthest, law, normal, win_counts
from prefloop.theory.fit import Objective, minimise

BT, GSHF, VPO = "Bradley and Terry 1952", "arXiv:2312.11456", "arXiv:2405.19320"


@claim(BT, tolerance=1e-9)
def at_the_fit_expected_wins_are_the_wins() -> float:
    """The likeliest reward expects every response to win as often as it did."""
    wins = win_counts(dice(30), 6)
    r = comparisons.bradley_terry(wins)
    expected = ((wins + wins.T) * torch.sigmoid(r[:, None] - r)).sum(1)
    return farthest(expected, wins.sum(1))


@claim("Hunter 2004, MM algorithm", tolerance=1e-9)
def newton_finds_what_minorise_maximise_finds() -> float:
    """Hunter's fixed-point iteration ends at the same reward."""
    wins = win_counts(dice(31), 5)
    strength = torch.ones(5, dtype=torch.float64)
    for _ in range(3000):
        pull = (wins + wins.T) / (strength[:, None] + strength)
        strength = wins.sum(1) / pull.sum(1)
        strength = strength / strength.log().mean().exp()
    return farthest(comparisons.bradley_terry(wins), strength.log())


@claim("Ford 1957", tolerance=0.0)
def a_fit_exists_iff_wins_link_everyone() -> float:
    """Of all 64 win graphs on three responses: finite fit ⇔ strongly connected (mismatches)."""
    wrong = 0
    for edges in product((0.0, 1.0), repeat=6):
        wins = torch.zeros(3, 3, dtype=torch.float64)
        wins[~torch.eye(3, dtype=torch.bool)] = torch.tensor(edges, dtype=torch.float64)
        wrong += comparisons.has_fit(wins) != _stays_put(wins)
    return float(wrong)


def _stays_put(wins: Tensor) -> bool:
    """Does the reward stop moving as the ridge vanishes, and is it unique?"""
    loose, looser = (comparisons.bradley_terry(wins, ridge=ridge) for ridge in (1e-4, 1e-8))
    linked = torch.linalg.eigvalsh(comparisons.curvature(wins + 1e-12, looser))[1] > 1e-6
    return bool(linked) and farthest(loose, looser) < 0.1


@claim(f"{GSHF}, theorem 1, option II", tolerance=0.0)
def pessimism_pays_only_where_the_comparator_is_uncertain() -> float:
    """J(π) − J(π̂) ≤ 2β E_π‖φ − ν‖ − η KL(π‖π̂) whenever θ* is in the confidence ellipsoid."""
    g, eta, scale, worst = dice(32), 0.5, 0.6, -float("inf")
    for _ in range(200):
        phi, prior, theta = normal(g, 5, 3), law(g, 5), normal(g, 3)
        cov = comparisons.covariance(normal(g, 20, 3))
        widths = comparisons.width(phi, prior.exp() @ phi, cov)
        low, _ = comparisons.bounds(phi @ theta, widths, scale)
        found = closed.tilt(prior, low, eta)
        error = torch.linalg.solve(torch.linalg.cholesky(cov).T, normal(g, 3))
        error = scale * error / (error @ cov @ error).sqrt()
        truth, other = phi @ (theta + error), law(g, 5)
        lost = closed.objective(other, prior, truth, eta)
        lost = lost - closed.objective(found, prior, truth, eta)
        allowed = 2 * scale * other.exp() @ widths - eta * closed.kl(other, found)
        worst = max(worst, float(lost - allowed))
    return worst


@claim(GSHF, tolerance=1e-11)
def only_differences_of_features_are_identified() -> float:
    """Adding one vector to all features changes no width ‖φ − ν‖ in Σ⁻¹."""
    g = dice(33)
    phi, shift, prior = normal(g, 5, 3), normal(g, 3), law(g, 5).exp()
    widths = []
    for moved in (phi, phi + shift):
        cov = comparisons.covariance(moved[:3] - moved[1:4])
        widths.append(comparisons.width(moved, prior @ moved, cov))
    return farthest(*widths)


@claim(GSHF, tolerance=1e-12)
def a_direction_never_compared_keeps_its_full_width() -> float:
    """Along a feature no comparison touched the width is 1/√λ; each comparison in it shrinks it."""
    eye = torch.eye(3, dtype=torch.float64)
    counts = (0, 1, 8, 63)
    widths = [
        comparisons.width(eye[:1], 0 * eye[0], comparisons.covariance(eye[:1].repeat(n, 1)))
        for n in counts
    ]
    expected = torch.tensor([(1 + n) ** -0.5 for n in counts], dtype=torch.float64)
    return farthest(torch.cat(widths), expected)


def value_biased(
    wins: Tensor, prior: Tensor, calibration: Tensor, beta: float, bonus: float
) -> Objective:
    """VPO's loss as a function of the calibrated reward; bonus > 0 is optimism (online)."""

    def objective(reward: Tensor) -> Tensor:
        level = reward - calibration.exp() @ reward
        return comparisons.loss(wins, level) - bonus * closed.value(prior, level, beta)

    return objective


@claim(f"{VPO}, one-stage loss", tolerance=1e-8)
def offline_vpo_on_rewards_is_vpo_on_policies() -> float:
    """Fitting a calibrated reward and tilting = DPO − αβ E_cal log π/π₀ on the policy itself."""
    g, beta, alpha = dice(34), 0.5, 2.0
    wins, prior, calibration = win_counts(g, 5), law(g, 5), law(g, 5)
    reward = minimise(value_biased(wins, prior, calibration, beta, -alpha), 0 * prior)

    def on_policies(logits: Tensor) -> Tensor:
        ratio = logits.log_softmax(0) - prior
        term = alpha * beta * (calibration.exp() @ ratio)
        return comparisons.loss(wins, beta * ratio) - term

    policy = minimise(on_policies, prior).softmax(0)
    return farthest(policy, closed.tilt(prior, reward, beta).exp())


@claim(f"{VPO}, stationarity", tolerance=1e-9)
def pessimism_adds_pseudo_wins_to_the_calibration_law() -> float:
    """At VPO's minimum expected wins = wins − α(π − π_cal) offline."""
    g, beta, alpha = dice(35), 0.5, 3.0
    wins, prior, calibration = win_counts(g, 5), law(g, 5), law(g, 5)
    r = minimise(value_biased(wins, prior, calibration, beta, -alpha), 0 * prior)
    expected = ((wins + wins.T) * torch.sigmoid(r[:, None] - r)).sum(1)
    pseudo = alpha * (closed.tilt(prior, r, beta).exp() - calibration.exp())
    return farthest(expected, wins.sum(1) - pseudo)


@claim(f"derived for {VPO}", tolerance=0.0)
def optimism_has_a_minimum_only_below_its_limit() -> float:
    """At 0.98 α_crit every ray of a set of responses ends rising, at 1.02 α_crit one falls."""
    g, wrong = dice(36), 0
    for _ in range(20):
        wins, prior, calibration = win_counts(g, 4), law(g, 4), law(g, 4)
        limit = comparisons.optimism_limit(wins, calibration.exp())
        for share, rises in ((0.98, True), (1.02, False)):
            loss = value_biased(wins, prior, calibration, 0.5, share * limit)
            ends = [float(loss(400.0 * ray) - loss(200.0 * ray)) for ray in _sets(4)]
            wrong += (min(ends) > 0) != rises
    return float(wrong)


@claim(f"derived for {VPO}", tolerance=0.0)
def a_response_that_never_lost_forbids_optimism() -> float:
    """α_crit = 0 as soon as one response was never beaten, for example never compared."""
    g = dice(37)
    wins, calibration = win_counts(g, 5), law(g, 5).exp()
    wins[:, 3] = 0
    return comparisons.optimism_limit(wins, calibration)


@claim(f"derived for {VPO}", tolerance=0.1)
def single_responses_do_not_tell_the_limit() -> float:
    """α_crit can be less than a tenth of the least limit over single responses."""
    wins = torch.tensor([[0, 50, 50], [50, 0, 50], [1, 1, 0]], dtype=torch.float64)
    calibration = torch.tensor([0.25, 0.25, 0.5], dtype=torch.float64)
    single = min(float(wins[:, y].sum() / (1 - calibration[y])) for y in range(3))
    return comparisons.optimism_limit(wins, calibration) / single


@claim("derived for arXiv:2405.21046", tolerance=1e-12)
def at_the_reference_an_optimistic_bonus_does_not_push() -> float:
    """−∇E_ref log π = π − π_ref on the logits, hence zero where the policy starts."""
    g = dice(38)
    prior, logits = law(g, 5), normal(g, 5)
    slope = torch.func.grad(lambda x: -(prior.exp() @ x.log_softmax(0)))
    at_start = farthest(slope(prior), 0 * prior)
    return max(at_start, farthest(slope(logits), logits.softmax(0) - prior.exp()))


def _sets(responses: int) -> list[Tensor]:
    """The indicator of every nonempty proper set of responses."""
    flags = list(product((0.0, 1.0), repeat=responses))[1:-1]
    return [torch.tensor(flag, dtype=torch.float64) for flag in flags]
