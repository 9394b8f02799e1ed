"""Claims about confidence widths: pessimism, coverage, and GSHF's two agents."""

from math import log, sqrt

import torch
from torch import Tensor

from prefloop.theory import closed, comparisons, enhancer, offline, regret
from prefloop.theory.claim import claim, dice, farthest, law, normal
from prefloop.theory.posterior import Posterior

GSHF = "arXiv:2312.11456"


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


@claim(f"{GSHF}, in-sample error; Hsu et al. 2012 for the constant", tolerance=0.05)
def the_truth_lies_in_the_confidence_ellipsoid() -> float:
    """‖θ̂ − θ*‖_Σ ≤ c in at least 95 % of 200 draws of 60 answers (share of those outside).

    c = √(d + 2√(dt) + 2t)/(2γ) + √λ B, t = log 20, γ the least slope of σ on [−2B, 2B]; a ridge of
    γλ on the loss, ‖θ*‖ = B, ‖φ‖ ≤ 1.
    """
    g, outside = dice(100), 0
    for _ in range(200):
        theta, rows, wins = sampled_answers(g, 60)
        found = comparisons.linear_fit(rows, wins, ridge=SLOPE)
        error = found - theta
        cov = comparisons.covariance(rows)
        outside += bool(error @ cov @ error > confidence(3, 0.05) ** 2)
    return outside / 200


SLOPE = 1 / (2 + 2 * torch.cosh(torch.tensor(2.0)).item())
"""γ: the least slope of σ on [−2, 2]"""


def confidence(dimension: int, delta: float) -> float:
    """c of the ellipsoid with λ = B = 1."""
    t = -log(delta)
    return sqrt(dimension + 2 * sqrt(dimension * t) + 2 * t) / (2 * SLOPE) + 1


def sampled_answers(g: torch.Generator, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """A truth of length one, n feature differences at most two long, and n Bradley–Terry labels."""
    theta, phi = normal(g, 3), normal(g, 2 * n, 3)
    phi = phi / phi.norm(dim=1, keepdim=True)
    theta, rows = theta / theta.norm(), phi[:n] - phi[n:]
    won = torch.rand(n, generator=g, dtype=torch.float64) < torch.sigmoid(rows @ theta)
    return theta, rows, won.double()


@claim(f"{GSHF}, coverage", tolerance=0.03)
def coverage_falls_like_one_over_root_n() -> float:
    """The width of a policy's features falls as n^(−1/2) in comparisons (slope + ½, n ≥ 100)."""
    g = dice(101)
    phi, rows, policy = normal(g, 6, 3), normal(g, 25_600, 3), law(g, 6).exp()
    sizes = torch.tensor([100, 400, 1600, 6400, 25_600])
    widths = [
        policy @ comparisons.width(phi, phi.mean(0), comparisons.covariance(rows[:n]))
        for n in sizes.tolist()
    ]
    x, y = sizes.double().log(), torch.stack(widths).log()
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    return abs(float(slope) + 0.5)


@claim("Abbasi-Yadkori et al. 2011, lemma 11", tolerance=0.0)
def widths_met_in_turn_add_up_to_a_logarithm() -> float:
    """Σ_t min(1, ‖φ_t‖² in Σ_{t−1}⁻¹) ≤ 2d log(1 + T/(dλ)), even if the widest comes each time."""
    g, worst, dimension, rounds = dice(102), -float("inf"), 4, 300
    arms = normal(g, 30, dimension)
    arms = arms / arms.norm(dim=1, keepdim=True)
    for ridge in (0.1, 1.0):
        cov, total = ridge * torch.eye(dimension, dtype=torch.float64), 0.0
        for _ in range(rounds):
            widths = comparisons.width(arms, 0 * arms[0], cov)
            widest = int(widths.argmax())
            total += min(1.0, float(widths[widest]) ** 2)
            cov = cov + torch.outer(arms[widest], arms[widest])
        worst = max(worst, total - 2 * dimension * log(1 + rounds / (dimension * ridge)))
    return worst


@claim(f"{GSHF}, enhancer", tolerance=1e-9)
def the_enhancer_spends_all_its_kl() -> float:
    """At GSHF's second agent η KL(π²‖π¹) = Γ(π²): the constraint is tight."""
    first, phi = agents(103, 5)
    second = enhancer.enhancer(first, phi, eta=0.5, scale=0.6)
    return farthest(0.5 * closed.kl(second, first), enhancer.width(first, second, phi, 0.6))


@claim(f"{GSHF}, enhancer", tolerance=0.0)
def no_allowed_policy_is_less_comparable_than_the_enhancer() -> float:
    """Of 5,000 policies with η KL(π'‖π¹) ≤ Γ none has a Γ above the enhancer's (excess)."""
    (first,), (phi,) = agents(110, 1)
    second, g = enhancer.enhancer(first, phi, eta=0.5, scale=0.6), dice(111)
    near = torch.cat([around + 0.3 * normal(g, 2500, 5) for around in (first, second)])
    others = near.log_softmax(-1)
    gamma = enhancer.width(first, others, phi, 0.6)
    allowed = gamma[0.5 * closed.kl(others, first) <= gamma]
    excess = float((allowed - enhancer.width(first, second, phi, 0.6)).max())
    return excess if len(allowed) > 1000 else float("inf")


def agents(seed: int, prompts: int) -> tuple[Tensor, Tensor]:
    """First agents over five responses, and features scaled by 30 comparisons a prompt."""
    g = dice(seed)
    cov = torch.stack([comparisons.covariance(normal(g, 30, 3)) for _ in range(prompts)])
    return law(g, prompts, 5), enhancer.scaled(normal(g, prompts, 5, 3), cov)


@claim(GSHF, tolerance=1e-12)
def m_answers_a_round_count_as_one_in_the_online_covariance() -> float:
    """Σ_{t,m} = λI + (1/m) Σ δδᵀ: m repetitions of a comparison narrow its direction like one."""
    g = dice(112)
    rows = normal(g, 6, 3)
    once = comparisons.covariance(rows)
    batched = comparisons.covariance(rows.repeat_interleave(4, 0), batch=4)
    return farthest(once, batched)


@claim("Bernstein and von Mises, for the lab's posterior", tolerance=0.03)
def the_laplace_posterior_covers_as_often_as_it_says() -> float:
    """95 % intervals of r(i) − r(j) hold the truth 95 ± 3 % of the time, over 300 worlds."""
    world, answers = offline.collect(regret.Setting(seeds=300), (100,))
    mode = comparisons.bradley_terry(answers[100], ridge=1.0)
    phi = Posterior.laplace(answers[100], mode, ridge=1.0).factor
    error = mode - world.known_reward
    i, j = torch.triu_indices(10, 10, offset=1)
    inside = (error[:, i] - error[:, j]).abs() <= 1.96 * (phi[:, i] - phi[:, j]).norm(dim=-1)
    return abs(float(inside.double().mean()) - 0.95)
