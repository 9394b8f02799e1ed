"""Confidence widths and GSHF's agents against the worked example."""

import pytest
import torch
from guide import close

from prefloop.theory import closed, comparisons, enhancer
from prefloop.theory.claim import dice, law, normal

pytestmark = pytest.mark.usefixtures("float64")

PHI = ((1, 0, 0), (0, 1, 0), (0.6, 0.6, 0), (0, 0, 1), (0.5, 0, 0.5))
COMPARED = {(0, 1): (12, 5), (0, 2): (6, 5), (2, 1): (7, 4), (3, 1): (2, 1)}
PRIOR, ETA, SCALE = (0.3, 0.3, 0.2, 0.1, 0.1), 0.5, 0.6


def example() -> tuple[torch.Tensor, ...]:
    """φ, Σ, log π₀, ν, the feature differences of all comparisons, and who won them."""
    phi, prior = torch.tensor(PHI), torch.tensor(PRIOR)
    rows, won = [], []
    for (i, j), (wins, losses) in COMPARED.items():
        rows += [phi[i] - phi[j]] * (wins + losses)
        won += [1.0] * wins + [0.0] * losses
    differences = torch.stack(rows)
    cov = comparisons.covariance(differences)
    return phi, cov, prior.log(), prior @ phi, differences, torch.tensor(won)


def test_the_linear_fit_is_the_guides():
    phi, _, _, _, differences, won = example()
    theta = comparisons.linear_fit(differences, won, ridge=0.0)
    close(theta, 1.3719821511, 0.5324734259, 1.2256206065)
    logits = differences @ theta
    close((torch.nn.functional.softplus(logits) - won * logits).sum(), 27.0060417500)
    close(phi @ theta, 1.3719821511, 0.5324734259, 1.1426733462, 1.2256206065, 1.2988013788)


def test_widths_and_lower_bounds_are_the_guides():
    phi, cov, prior, centre, differences, won = example()
    close(cov, 23.72, -22.28, 0, -22.28, 26.72, -3, 0, -3, 4)
    widths = comparisons.width(phi, centre, cov)
    close(widths, 0.1334418813, 0.1230004900, 0.1283969583, 0.4517713428, 0.1881057987)
    reward = phi @ comparisons.linear_fit(differences, won, ridge=0.0)
    low, high = comparisons.bounds(reward, widths, SCALE)
    close(low, 1.2919170224, 0.4586731319, 1.0656351713, 0.9545578008, 1.1859378996)
    torch.testing.assert_close(high - reward, reward - low)
    greedy, careful = (closed.tilt(prior, r, ETA).exp() for r in (reward, low))
    close(greedy, 0.4662686131, 0.0869857612, 0.1965032898, 0.1159810149, 0.1342613210)
    close(careful, 0.4872488941, 0.0920458928, 0.2065920877, 0.0827185877, 0.1313945376)


def test_pair_widths_are_distances_of_scaled_features():
    phi, cov, *_ = example()
    scaled = enhancer.scaled(phi, cov)
    distance = torch.cdist(scaled, scaled, compute_mode="donot_use_mm_for_euclid_dist")
    close(distance[0, [1, 3]], 0.2078433486, 0.5497935956)
    assert divmod(int(distance.argmax()), 5) == (2, 3)
    close(distance.max(), 0.5598745205)


def test_the_enhancer_is_the_guides():
    phi, cov, prior, _, differences, won = example()
    first = closed.tilt(prior, phi @ comparisons.linear_fit(differences, won, ridge=0.0), ETA)
    scaled = enhancer.scaled(phi, cov)
    second = enhancer.enhancer(first, scaled, eta=ETA, scale=SCALE)
    close(second.exp(), 0.33421466, 0.07006467, 0.13883605, 0.28020389, 0.17668073, digits=8)
    close(enhancer.width(first, second, scaled, SCALE), 0.0605007281)
    close(ETA * closed.kl(second, first), 0.0605007281)


def test_an_enhancer_that_may_go_anywhere_goes_to_one_response():
    """So wide that even a point mass is paid for: Γ is convex, hence largest at a corner."""
    first, phi = law(dice(1), 4), 100 * normal(dice(2), 4, 2)
    second = enhancer.enhancer(first, phi, eta=0.5, scale=1.0)
    corner = (phi - first.exp() @ phi).norm(dim=1)
    assert second.exp().max().item() == pytest.approx(1)
    assert second.argmax() == corner.argmax()
    close(enhancer.width(first, second, phi, 1.0), float(corner.max()))


def test_the_online_covariance_is_the_guides():
    phi, *_ = example()
    asked = [(3, 0), (3, 0), (4, 1), (2, 3)]
    rows = torch.stack([phi[i] - phi[j] for i, j in asked])
    cov = comparisons.covariance(rows, batch=4)
    close(cov, 1.6525, -0.035, -0.5875, -0.035, 1.34, -0.275, -0.5875, -0.275, 1.8125)
    close(torch.logdet(cov), 1.2274451605)


def test_the_linear_fit_on_one_hot_features_is_the_bradley_terry_fit():
    eye = torch.eye(3)
    wins = torch.tensor([[0, 3, 1], [2, 0, 4], [2, 1, 0.0]])
    pairs = [(i, j) for i in range(3) for j in range(3) for _ in range(int(wins[i, j]))]
    rows = torch.stack([eye[i] - eye[j] for i, j in pairs])
    found = comparisons.linear_fit(rows, torch.ones(len(rows)), ridge=0.4)
    torch.testing.assert_close(found, comparisons.bradley_terry(wins, ridge=0.4))
