"""Claims about the KL-regularised optimum, for single answers and for texts."""

import torch
from torch import Tensor
from torch.autograd.functional import hessian

from prefloop.theory import closed, sequences
from prefloop.theory.claim import claim, dice, farthest, law, normal
from prefloop.theory.fit import minimise
from prefloop.theory.world import sequence_logps
from prefloop.theory.world import sequences as texts

DPO, GSHF, VPO = "arXiv:2305.18290", "arXiv:2312.11456", "arXiv:2405.19320"


def best_policy(prior: Tensor, reward: Tensor, beta: float) -> Tensor:
    """log π of the largest J, by an optimiser that knows no closed form."""
    lost = lambda logits: -closed.objective(logits.log_softmax(0), prior, reward, beta)
    return minimise(lost, prior).log_softmax(0)


@claim(f"{DPO}, eq. 4", tolerance=1e-8)
def the_tilt_is_the_best_policy() -> float:
    """The policy with the largest E r − β KL(π‖π₀) is π₀ exp(r/β)/Z."""
    g, worst = dice(0), 0.0
    for beta in (0.2, 1.0, 3.0):
        prior, reward = law(g, 6), normal(g, 6)
        best = best_policy(prior, reward, beta).exp()
        worst = max(worst, farthest(best, closed.tilt(prior, reward, beta).exp()))
    return worst


@claim(GSHF, tolerance=1e-10)
def its_value_is_beta_log_z() -> float:
    """J(π*) = β log E_π₀ exp(r/β)."""
    g = dice(1)
    prior, reward = law(g, 50, 6), normal(g, 50, 6)
    best = closed.tilt(prior, reward, 0.3)
    return farthest(closed.objective(best, prior, reward, 0.3), closed.value(prior, reward, 0.3))


@claim(GSHF, tolerance=1e-10)
def the_whole_gap_is_one_kl() -> float:
    """J(π*) − J(π) = β KL(π‖π*) for every policy π."""
    g = dice(2)
    prior, reward, policy = law(g, 50, 6), normal(g, 50, 6), law(g, 50, 6)
    lost = closed.value(prior, reward, 0.5) - closed.objective(policy, prior, reward, 0.5)
    return farthest(closed.gap(policy, prior, reward, 0.5), lost)


@claim(f"{DPO}, eq. 5", tolerance=1e-11)
def log_ratios_give_back_reward_differences() -> float:
    """r(a) − r(b) = β log π*/π₀(a) − β log π*/π₀(b): Z cancels within a prompt."""
    g = dice(3)
    prior, reward = law(g, 4, 6), normal(g, 4, 6)
    implied = 0.7 * (closed.tilt(prior, reward, 0.7) - prior)
    error = implied - reward
    return farthest(error, error[:, :1].expand_as(error))


@claim(VPO, tolerance=1e-11)
def the_value_can_be_read_off_any_calibration_law() -> float:
    """J* = E_c r − β E_c log(π_r/π₀) for every law c, the same number."""
    g = dice(4)
    prior, reward = law(g, 6), normal(g, 6)
    one = torch.full((6,), -torch.inf, dtype=torch.float64)
    one[2] = 0.0
    laws = [prior, law(g, 6), closed.tilt(prior, reward, 2.0), one]
    found = [closed.calibrated_value(prior, reward, 0.5, c) for c in laws]
    return farthest(torch.stack(found), closed.value(prior, reward, 0.5))


@claim(VPO, tolerance=1e-11)
def the_value_grows_where_the_optimum_is_likely() -> float:
    """∇_r J* = π* and ∇²_r J* = (diag π* − π*π*ᵀ)/β."""
    g = dice(5)
    prior, reward, beta = law(g, 6), normal(g, 6), 0.4
    best = closed.tilt(prior, reward, beta).exp()
    slope = torch.func.grad(lambda r: closed.value(prior, r, beta))(reward)
    curved = hessian(lambda r: closed.value(prior, r, beta), reward)  # type: ignore[no-untyped-call]
    expected = (best.diag() - torch.outer(best, best)) / beta
    return max(farthest(slope, best), farthest(curved, expected))


@claim("arXiv:1707.06347, policy gradient", tolerance=1e-12)
def the_gradient_of_the_objective_is_the_centred_advantage() -> float:
    """∂J/∂logit_y = π(y)(A_y − E_π A) with A = r − β log π/π₀."""
    g = dice(6)
    logits, prior, reward = normal(g, 6), law(g, 6), normal(g, 6)
    slope = torch.func.grad(lambda x: closed.objective(x.log_softmax(0), prior, reward, 0.5))
    expected = closed.objective_slope(logits.log_softmax(0), prior, reward, 0.5)
    return farthest(slope(logits), expected)


@claim("Alignment Guidebook, density ratio", tolerance=0.0)
def a_large_kl_needs_a_large_density_ratio() -> float:
    """sup π/π₀ ≥ exp KL(π‖π₀): at 20 nats some text is e²⁰ times as likely as before."""
    g = dice(7)
    policy, prior = (4 * normal(g, 200, 6)).log_softmax(-1), law(g, 200, 6)
    excess = closed.kl(policy, prior) - (policy - prior).amax(-1)
    return float(excess.max())


@claim("soft Bellman recursion", tolerance=1e-12)
def the_best_text_policy_is_found_token_by_token() -> float:
    """Tilting whole texts equals the soft Bellman recursion over tokens, first token included."""
    tokens = texts()
    g = dice(8)
    prior, reward = sequence_logps(normal(g, 3, 3), tokens), normal(g, len(tokens))
    found = sequences.optimal_logps(tokens, prior, reward, 0.3)
    root = sequences.soft_values(tokens, prior, reward, 0.3)[()]
    value = closed.value(prior, reward, 0.3)
    return max(farthest(found, closed.tilt(prior, reward, 0.3)), farthest(root, value))


@claim("chain rule of KL", tolerance=1e-12)
def the_kl_of_texts_is_the_sum_over_their_tokens() -> float:
    """KL between laws of texts = E_π Σ_t KL of the next-token laws."""
    tokens, g = texts(), dice(9)
    p, q = (sequence_logps(normal(g, 3, 3), tokens) for _ in "pq")
    return farthest(sequences.token_kl(tokens, p, q), closed.kl(p, q))
