"""Claims about SAIL: the gradient of an objective whose samples move with the policy."""

import torch
from torch import Tensor

from prefloop.theory import sail
from prefloop.theory.claim import claim, dice, farthest, law, normal, preferences

SAIL = "arXiv:2406.15567"


def toy(seed: int, size: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, log π₀ and an oracle's P(row ≻ column), cycles likely."""
    g = dice(seed)
    return normal(g, size), law(g, size), preferences(g, size)


@claim(f"{SAIL}, single-level gradient", tolerance=1e-12)
def the_gradient_has_a_part_through_who_is_sampled() -> float:
    """With an oracle's labels ∇J = T1 + T2, and T1 is not small: online DPO drops it."""
    logits, prior, oracle = toy(120)
    one, two, _ = sail.parts(logits, prior, 0.5, oracle)
    whole = torch.func.grad(lambda x: sail.value(x, x, prior, 0.5, oracle))(logits)
    return farthest(one + two, whole) if float(one.norm() / two.norm()) > 0.05 else float("inf")


@claim(f"{SAIL}, score form", tolerance=1e-12)
def the_sampling_part_is_a_score_weighted_fit() -> float:
    """T1 = E F (∇log π(w) + ∇log π(l)), over all pairs and labels."""
    logits, prior, oracle = toy(121)
    policy, worth = logits.softmax(0), sail.fit(logits, prior, 0.5)
    score = torch.eye(4, dtype=torch.float64) - policy
    chance = 2 * torch.outer(policy, policy) * oracle
    expected = torch.einsum("wl,wlk->k", chance * worth, score[:, None] + score)
    return farthest(sail.parts(logits, prior, 0.5, oracle)[0], expected)


@claim(f"{SAIL}, self-improving variant", tolerance=1e-12)
def under_its_own_labels_the_dpo_part_is_zero() -> float:
    """A policy that labels its own pairs learns nothing from DPO's gradient: T2 = 0 everywhere."""
    worst = 0.0
    for seed in range(122, 127):
        logits, prior, _ = toy(seed)
        worst = max(worst, float(sail.parts(logits, prior, 0.5)[1].abs().max()))
    return worst


@claim(f"derived for {SAIL}", tolerance=1e-12)
def own_labels_make_it_surer_and_nothing_else() -> float:
    """Under own labels J = −E H(σ(βh)), and ∇J = T1 + T3: entropy of its preferences falls."""
    logits, prior, _ = toy(127)
    one, _, three = sail.parts(logits, prior, 0.5)
    own = sail.own_label(logits, prior, 0.5)
    value = sail.value(logits, logits, prior, 0.5, own)
    sure = torch.func.grad(lambda x: -sail.entropy(x, prior, 0.5))(logits)
    off = farthest(value, -sail.entropy(logits, prior, 0.5))
    return max(off, farthest(one + three, sure))


@claim(f"derived for {SAIL}", tolerance=1e-12)
def a_leave_one_out_baseline_leaves_the_sampling_part_alone() -> float:
    """With b the mean F of the others the score term is T1 in expectation, B = 1, 2 and 3."""
    logits, prior, oracle = toy(128, 3)
    exact = sail.parts(logits, prior, 0.5, oracle)[0]
    return max(
        farthest(sail.surrogate(logits, prior, 0.5, oracle, batch=size, own=False), exact)
        for size in (1, 2, 3)
    )


@claim(f"derived for {SAIL}", tolerance=1e-12)
def a_baseline_with_the_sample_itself_shrinks_the_sampling_part() -> float:
    """With b the mean F of the whole batch the score term is (1 − 1/B) T1: half of it at B = 2."""
    logits, prior, oracle = toy(129, 3)
    exact = sail.parts(logits, prior, 0.5, oracle)[0]
    return max(
        farthest(
            sail.surrogate(logits, prior, 0.5, oracle, batch=size, own=True),
            (1 - 1 / size) * exact,
        )
        for size in (2, 3)
    )


@claim(f"{SAIL}, offline pairs", tolerance=1e-12)
def labelling_offline_pairs_oneself_lowers_their_entropy() -> float:
    """SAIL-DP: E_label ∇F = 0, E_label F = −H, and ∇E ½F² at fixed labels is ∇(−H)."""
    logits, prior, _ = toy(130)

    def terms(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        f, q = sail.fit(x, prior, 0.5), sail.own_label(logits, prior, 0.5)
        return q[0, 1] * f[0, 1] + q[1, 0] * f[1, 0], _half_square(f, q), _minus_entropy(f)

    slopes = [torch.func.grad(lambda x, i=i: terms(x)[i])(logits) for i in range(3)]
    same = farthest(terms(logits)[0], terms(logits)[2])
    return max(same, float(slopes[0].abs().max()), farthest(slopes[1], slopes[2]))


def _half_square(f: Tensor, q: Tensor) -> Tensor:
    return 0.5 * (q[0, 1] * f[0, 1] ** 2 + q[1, 0] * f[1, 0] ** 2)


def _minus_entropy(f: Tensor) -> Tensor:
    return f[0, 1].exp() * f[0, 1] + f[1, 0].exp() * f[1, 0]


@claim(f"{SAIL}, its released code", tolerance=0.0)
def the_released_hook_points_the_other_way() -> float:
    """F divided by log π in place of ∇ log π turns the sampling part round: cosine below −0.8."""
    logits = torch.tensor([0.2, -0.1, 0.4], dtype=torch.float64)
    prior = torch.tensor([0.0, 0.3, -0.2], dtype=torch.float64).log_softmax(0)
    reward = torch.tensor([1.0, 0.0, -0.5], dtype=torch.float64)
    oracle = torch.sigmoid(reward[:, None] - reward)
    right = sail.parts(logits, prior, 0.5, oracle)[0]
    return float(torch.cosine_similarity(released(logits, prior, 0.5, oracle), right, dim=0)) + 0.8


def released(logits: Tensor, prior: Tensor, beta: float, label: Tensor) -> Tensor:
    """Where the released hook moves the logits: E (F/log π(w) ∇log π(w) + F/log π(l) ∇log π(l))."""
    policy, worth = logits.log_softmax(0), sail.fit(logits, prior, beta)
    score = torch.eye(len(logits), dtype=torch.float64) - policy.exp()
    weight = 2 * torch.outer(policy.exp(), policy.exp()) * label * worth
    per = score / policy[:, None]
    return torch.einsum("wl,wlk->k", weight, per[:, None] + per)
