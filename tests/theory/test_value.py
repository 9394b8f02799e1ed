"""Value-biased fits against the worked example and against an optimiser."""

import guide
import pytest
import torch
from guide import close, world
from torch.autograd.functional import hessian

from prefloop.theory import closed, comparisons, value
from prefloop.theory.claim import dice, law, normal, win_counts
from prefloop.theory.claims_value import unseen_flip
from prefloop.theory.fit import NoMinimum, minimise
from prefloop.theory.newton import settle, together

pytestmark = pytest.mark.usefixtures("float64")
BETA = 0.5


def calibration(name: str) -> torch.Tensor:
    prior, _ = world()
    laws = {"reference": prior, "uniform": torch.zeros(5).log_softmax(0)}
    return laws[name] if name in laws else value.chosen(guide.wins(), prior)


def fitted(name: str, bonus: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The reward and log π of the fit to the worked example."""
    prior, _ = world()
    reward = value.fit(guide.wins(), prior, calibration(name), beta=BETA, bonus=float(bonus))
    return reward, closed.tilt(prior, reward, BETA)


ROWS = [  # calibration law, bonus, NLL, J* of the calibrated fit, gap, policy
    ("reference", 0, 23.67208600, 0.19707672, 0.33517802),
    ("reference", 1, 23.68500631, 0.22224517, 0.32648002),
    ("reference", -1, 23.68265048, 0.17543208, 0.34156876),
    ("uniform", -1, 23.68917902, 0.11720562, 0.30840492),
    ("chosen", -1, 23.67467545, -0.04222469, 0.32435293),
]
POLICIES = {
    ("reference", 0): (0.46702293, 0.02614100, 0.36614902, 0.08012830, 0.06055875),
    ("reference", 1): (0.45628267, 0.02139390, 0.37920532, 0.08033615, 0.06278196),
    ("reference", -1): (0.47364951, 0.03125190, 0.35605271, 0.08006784, 0.05897804),
    ("uniform", -1): (0.44389526, 0.02917503, 0.36438529, 0.08773421, 0.07481021),
    ("chosen", -1): (0.45262238, 0.02697825, 0.37224651, 0.08425678, 0.06389608),
    ("reference", 0.1): (0.46616718, 0.02564921, 0.36729617, 0.08014112, 0.06074631),
    ("reference", -0.1): (0.46783859, 0.02663644, 0.36503065, 0.08011691, 0.06037741),
    ("uniform", 1): (0.49656906, 0.02317329, 0.36275312, 0.07131955, 0.04618498),
    ("chosen", 1): (0.48622800, 0.02531774, 0.35679939, 0.07541006, 0.05624481),
}
OBJECTIVES = {
    ("reference", 1): 23.4627611449,
    ("reference", -1): 23.8580825595,
    ("chosen", -1): 23.6324507551,
    ("reference", 0.1): 23.65226149,
    ("reference", -0.1): 23.69167799,
    ("uniform", 1): 23.49741562,
    ("chosen", 1): 23.70540831,
}


@pytest.mark.parametrize(("name", "bonus"), POLICIES)
def test_the_policy_is_the_guides(name, bonus):
    _, policy = fitted(name, bonus)
    close(policy.exp(), *POLICIES[name, bonus], digits=7)


@pytest.mark.parametrize(("name", "bonus", "nll", "worth", "lost"), ROWS)
def test_likelihood_value_and_gap_are_the_guides(name, bonus, nll, worth, lost):
    prior, truth = world()
    reward, policy = fitted(name, bonus)
    close(comparisons.loss(guide.wins(), reward), nll, digits=7)
    level = reward - calibration(name).exp() @ reward
    close(closed.value(prior, level, BETA), worth, digits=7)
    close(closed.gap(policy, prior, truth, BETA), lost, digits=7)


@pytest.mark.parametrize(("name", "bonus"), OBJECTIVES)
def test_the_objective_is_the_guides(name, bonus):
    prior, _ = world()
    reward, _ = fitted(name, bonus)
    found = value.loss(
        guide.wins(), prior, calibration(name), reward, beta=BETA, bonus=float(bonus)
    )
    close(found, OBJECTIVES[name, bonus], digits=7)


def test_the_law_of_the_chosen_counts_wins():
    close(calibration("chosen").exp() * 38, 12, 3, 14, 6, 3)
    prior, _ = world()
    torch.testing.assert_close(value.chosen(torch.zeros(5, 5), prior), prior)


def test_the_calibrated_value_is_a_likelihood():
    prior, reward = world()
    best = closed.tilt(prior, reward, BETA)
    for name, mean, rest in (
        ("reference", 0.285, 0.5275208036),
        ("uniform", 0.6, 0.2125208036),
    ):
        c = calibration(name).exp()
        close(c @ reward, mean)
        close(-BETA * c @ (best - prior), rest)


def test_pseudo_wins_are_the_guides():
    prior, _ = world()
    reward, _ = fitted("reference", 1)
    w = guide.wins()
    told = value.pseudo_wins(w, prior, prior, reward, beta=BETA, bonus=1.0)
    close(told, 12.05628267, 2.77139390, 14.17920532, 5.98033615, 3.01278196, digits=7)
    expected = ((w + w.T) * torch.sigmoid(reward[:, None] - reward)).sum(1)
    torch.testing.assert_close(expected, told, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("alpha", "distance"),
    [(10, 0.1933807908), (100, 0.0092254506), (1000, 1.1918839e-4), (1e4, 1.2262e-6)],
)
def test_pessimism_approaches_the_calibration_law_as_the_guide_says(alpha, distance):
    _, policy = fitted("uniform", -alpha)
    found = closed.kl(calibration("uniform"), policy).item()
    assert found == pytest.approx(distance, rel=1e-4)


@pytest.mark.parametrize(
    ("alpha", "along"),
    [(60 / 19 - 0.05, (29.2109, 31.5859, 36.3359)), (60 / 19 + 0.05, (24.6107, 22.2357, 17.4857))],
)
def test_beyond_the_limit_a_ray_falls_for_ever(alpha, along):
    """F along t · e_4: rises 0.05 below α_crit = 60/19, falls 0.05 above."""
    prior, _ = world()
    ray = torch.eye(5)[4]
    found = [
        value.loss(guide.wins(), prior, prior, t * ray, beta=BETA, bonus=alpha)
        for t in (50.0, 100.0, 200.0)
    ]
    close(torch.stack(found), *along, digits=4)


@pytest.mark.parametrize(
    ("name", "limit"), [("reference", 3.15789), ("uniform", 3.75), ("chosen", 3.25714)]
)
def test_optimism_beyond_its_limit_is_refused_with_the_limit(name, limit):
    with pytest.raises(NoMinimum, match=rf"below alpha_crit = {limit}.*set ridge above 0"):
        fitted(name, 1.001 * limit)
    prior, _ = world()
    bounded = value.fit(
        guide.wins(), prior, calibration(name), beta=BETA, bonus=1.001 * limit, ridge=0.1
    )
    assert bounded.isfinite().all()


def test_pessimism_about_a_law_with_gaps_needs_linked_wins():
    wins = torch.zeros(3, 3)
    wins[0, 1] = 2.0
    prior = torch.zeros(3).log_softmax(0)
    law_of_chosen = value.chosen(wins, prior)
    with pytest.raises(NoMinimum, match="calibration law over 1 of 3 responses"):
        value.fit(wins, prior, law_of_chosen, beta=BETA, bonus=-1.0)
    value.fit(wins, prior, prior, beta=BETA, bonus=-1.0)


UNSEEN = torch.zeros(4, 4)
UNSEEN[0, 1], UNSEEN[1, 0], UNSEEN[1, 2] = 6, 3, 4
UNSEEN[2, 1], UNSEEN[0, 2], UNSEEN[2, 0] = 4, 5, 2


def test_the_push_on_an_unseen_response_flips_where_the_guide_says():
    seen = UNSEEN[:3, :3].double()
    mle = comparisons.bradley_terry(seen)
    close(mle, 0.5285194501, -0.2312933524, -0.2972260977, digits=7)  # the guide's: slope 6e-8
    prior = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    push = value.biased(prior, prior, beta=BETA, bonus=1.0)

    def gradient(at: float) -> float:
        return -float(push(torch.cat([mle, torch.tensor([at])]))[1][3])

    close(gradient(0.0), -0.0216004933, digits=8)
    close(gradient(0.5), 0.0236060106, digits=8)
    flip = unseen_flip(prior, torch.cat([mle, torch.zeros(1)]), 3, BETA)
    close(flip, 0.2940669754, digits=8)
    close(gradient(float(flip)), 0.0)


@pytest.mark.parametrize("bonus", [-2.0, 0.3])
def test_slopes_and_curvatures_are_those_of_the_value(bonus):
    g = dice(1)
    wins, prior, cal, at = win_counts(g, 4), law(g, 4), law(g, 4), normal(g, 4)
    term = together(
        comparisons.likelihood(wins, ridge=0.3), value.biased(prior, cal, beta=BETA, bonus=bonus)
    )
    _, slope, curvature = term(at)
    whole = lambda r: term(r)[0]
    torch.testing.assert_close(slope, torch.func.grad(whole)(at))
    torch.testing.assert_close(curvature, hessian(whole, at))


@pytest.mark.parametrize("bonus", [-2.0, 0.5])
def test_many_prompts_at_once_are_each_alone(bonus):
    wins = torch.stack([win_counts(dice(seed), 4) for seed in range(3)])
    prior, cal = law(dice(5), 3, 4), law(dice(6), 3, 4)
    together = value.fit(wins, prior, cal, beta=BETA, bonus=bonus, ridge=0.2)
    for x in range(3):
        alone = minimise(
            lambda r, x=x: (
                value.loss(wins[x], prior[x], cal[x], r, beta=BETA, bonus=bonus)
                + 0.1 * (r**2).sum()
            ),
            torch.zeros(4),
        )
        torch.testing.assert_close(together[x], alone, rtol=0, atol=1e-9)


def test_a_saddle_is_left_downhill():
    """(x² − 1)² started near its hump settles at the minimum on that side."""

    def term(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        value = ((x**2 - 1) ** 2).sum(-1)
        return value, 4 * x * (x**2 - 1), torch.diag_embed(12 * x**2 - 4)

    close(settle(term, torch.tensor([[0.01], [-0.01], [3.0]])), 1.0, -1.0, 1.0)
