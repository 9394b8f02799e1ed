"""Claims about value-biased fits: VPO online (optimism) and offline (pessimism)."""

from functools import partial
from itertools import pairwise, product

import torch
from torch import Tensor
from torch.autograd.functional import hessian

from prefloop.bonuses.vpo import vpo
from prefloop.losses.dpo import dpo
from prefloop.theory import closed, comparisons, value
from prefloop.theory.claim import claim, dice, farthest, law, normal, win_counts
from prefloop.theory.claims_bonuses import samples
from prefloop.theory.claims_losses import counted
from prefloop.theory.fit import NoMinimum, fit, minimise

VPO = "arXiv:2405.19320"


@claim(f"{VPO}, one-stage loss", tolerance=1e-8)
def offline_vpo_on_rewards_is_vpo_on_policies() -> float:
    """Fitting a calibrated reward and tilting = DPO − αβ E_cal log π/π₀ on the policy itself."""
    g, beta, alpha = dice(34), 0.5, 2.0
    wins, prior, calibration = win_counts(g, 5), law(g, 5), law(g, 5)
    reward = value.fit(wins, prior, calibration, beta=beta, bonus=-alpha)

    def on_policies(logits: Tensor) -> Tensor:
        s = samples(logits.log_softmax(0), prior)
        term = calibration.exp() @ vpo(s, alpha=alpha, beta=beta, mode="offline")
        return comparisons.loss(wins, beta * s.log_ratio) + term

    policy = minimise(on_policies, prior).softmax(0)
    return farthest(policy, closed.tilt(prior, reward, beta).exp())


@claim(f"{VPO}, stationarity", tolerance=1e-9)
def the_bonus_adds_pseudo_wins() -> float:
    """At VPO's rest expected wins = wins ± α(π − π_cal), plus online, minus offline."""
    g, beta, worst = dice(35), 0.5, 0.0
    wins, prior, calibration = win_counts(g, 5), law(g, 5), law(g, 5)
    limit = comparisons.optimism_limit(wins, calibration.exp())
    for bonus in (-3.0, 0.0, 0.3 * limit):
        r = value.fit(wins, prior, calibration, beta=beta, bonus=bonus)
        expected = ((wins + wins.T) * torch.sigmoid(r[:, None] - r)).sum(1)
        told = value.pseudo_wins(wins, prior, calibration, r, beta=beta, bonus=bonus)
        worst = max(worst, farthest(expected, told))
    return worst


@claim(VPO, tolerance=1e-9)
def without_a_bonus_vpo_is_dpo() -> float:
    """At α = 0 the value-biased fit is DPO's minimiser on the same answers."""
    g, beta = dice(39), 0.3
    wins, prior = win_counts(g, 5), law(g, 5)
    world, weights = counted(wins, prior)
    found = fit(world, partial(dpo, beta=beta), weights=weights)[0]
    reward = value.fit(wins, prior, law(g, 5), beta=beta, bonus=0.0)
    return farthest(found.exp(), closed.tilt(prior, reward, beta).exp())


@claim(VPO, tolerance=1e-8)
def offline_vpo_has_one_minimum_whatever_was_compared() -> float:
    """With π_cal > 0 pessimism has a minimiser even without answers, the same from every start."""
    g, beta, worst = dice(40), 0.5, 0.0
    for answers in (0.0, 1.0):
        wins = torch.zeros(5, 5, dtype=torch.float64)
        wins[0, 1] = wins[2, 3] = answers
        prior, calibration = law(g, 5), law(g, 5)
        starts = [5 * normal(g, 5) for _ in range(8)]
        found = [
            value.fit(wins, prior, calibration, beta=beta, bonus=-2.0, start=start)
            for start in starts
        ]
        worst = max(worst, *(farthest(other, found[0]) for other in found))
    return worst


@claim(VPO, tolerance=0.0)
def pessimism_without_end_gives_the_calibration_law() -> float:
    """Offline KL(π_cal‖π) falls to nothing as α grows: hundredfold for every tenfold α."""
    g, distances = dice(41), []
    wins, prior, calibration = win_counts(g, 5), law(g, 5), law(g, 5)
    for alpha in (1e2, 1e3, 1e4, 1e5):
        r = value.fit(wins, prior, calibration, beta=0.5, bonus=-alpha)
        distances.append(float(closed.kl(calibration, closed.tilt(prior, r, 0.5))))
    ratios = [after / before for before, after in pairwise(distances)]
    return max(ratios) - 0.05


@claim(f"derived for {VPO}", tolerance=0.0)
def optimism_has_a_minimum_only_below_its_limit() -> float:
    """At 0.98 α_crit every ray of a set of responses ends rising, at 1.02 α_crit one falls."""
    g, wrong = dice(36), 0
    for _ in range(8):
        wins, prior, calibration = win_counts(g, 4), law(g, 4), law(g, 4)
        limit = comparisons.optimism_limit(wins, calibration.exp())
        for share, rises in ((0.98, True), (1.02, False)):
            loss = partial(value.loss, wins, prior, calibration, beta=0.5, bonus=share * limit)
            ends = [float(loss(400.0 * ray) - loss(200.0 * ray)) for ray in _sets(4)]
            wrong += (min(ends) > 0) != rises
            wrong += _refused(wins, prior, calibration, share * limit) == rises
    return float(wrong)


def _refused(wins: Tensor, prior: Tensor, calibration: Tensor, bonus: float) -> bool:
    try:
        value.must_exist(wins, calibration, bonus)
    except NoMinimum:
        return True
    return False


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


@claim("arXiv:2510.03269, critique of optimism under KL", tolerance=1e-12)
def optimism_pushes_down_an_unseen_response_below_the_soft_average() -> float:
    """With π_cal = π₀ the push on y changes sign at r(y) = β log E_π₀[e^{r/β} | not y]."""
    g, beta, wrong, worst = dice(42), 0.5, 0, 0.0
    for _ in range(20):
        prior, reward = law(g, 5), normal(g, 5)
        reward[0] = flip = unseen_flip(prior, reward, 0, beta)
        for move, sign in ((-0.1, 1), (0.0, 0), (0.1, -1)):
            moved = reward.clone()
            moved[0] = flip + move
            slope = value.biased(prior, prior, beta=beta, bonus=1.0)(moved)[1][0]
            wrong += int(sign * slope < 0)
            worst = max(worst, abs(float(slope)) if sign == 0 else 0.0)
    return worst + wrong


def unseen_flip(prior: Tensor, reward: Tensor, unseen: int, beta: float) -> Tensor:
    """The reward of one response from which on π_r gives it more than π₀ does."""
    others = torch.arange(len(prior)) != unseen
    return closed.value(prior[others].log_softmax(0), reward[others], beta)


@claim(VPO, tolerance=1e-10)
def a_linear_value_grows_towards_what_the_optimum_has_more_of() -> float:
    """r = ⟨θ, φ⟩ calibrated: ∇_θ J* = E_π φ − E_cal φ and ∇²_θ J* = Cov_π(φ)/β."""
    g, beta = dice(43), 0.4
    phi, theta, prior, calibration = normal(g, 6, 3), normal(g, 3), law(g, 6), law(g, 6)

    def goal(at: Tensor) -> Tensor:
        return value.biased(prior, calibration, beta=beta, bonus=-1.0)(phi @ at)[0]

    best = closed.tilt(prior, phi @ theta, beta).exp()
    mean = best @ phi
    spread = (phi - mean).T @ (best[:, None] * (phi - mean)) / beta
    slope = torch.func.grad(goal)(theta)
    curved = hessian(goal, theta)  # type: ignore[no-untyped-call]
    return max(farthest(slope, mean - calibration.exp() @ phi), farthest(curved, spread))


@claim(f"derived for {VPO}", tolerance=0.0)
def a_ridge_bounds_optimism() -> float:
    """With ridge ρ the online fit exists at any α, and is the only one while α < 2βρ."""
    g, beta, ridge = dice(46), 0.2, 1.0
    wins = win_counts(g, 5)
    wins[:, 3] = 0
    prior, calibration = law(g, 5), law(g, 5)
    many = [
        value.fit(
            wins,
            prior,
            calibration,
            beta=beta,
            bonus=1.9 * beta * ridge,
            ridge=ridge,
            start=4 * normal(g, 5),
        )
        for _ in range(8)
    ]
    strong = value.fit(wins, prior, calibration, beta=beta, bonus=50.0, ridge=ridge)
    finite = 0.0 if bool(strong.isfinite().all()) else float("inf")
    return finite + max(farthest(one, many[0]) for one in many) - 1e-8


def _sets(responses: int) -> list[Tensor]:
    """The indicator of every nonempty proper set of responses."""
    flags = list(product((0.0, 1.0), repeat=responses))[1:-1]
    return [torch.tensor(flag, dtype=torch.float64) for flag in flags]
