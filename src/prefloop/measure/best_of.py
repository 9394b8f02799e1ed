"""Best of n from N ≥ n samples that were drawn once: without bias, with fair ties."""

from collections.abc import Sequence
from math import log
from statistics import NormalDist

import numpy as np
from jaxtyping import Float

Each = Float[np.ndarray, " sample"]
Samples = Sequence[float | int] | Each
Pairs = Float[np.ndarray, "sample sample"]


def mean(values: Samples, scores: Samples, n: int) -> float:
    """E[value of the sample that scores best of n], without bias.

        Σ_k value(k) · C(k−1, n−1) / C(N, n),   k = rank of the score, 1 the lowest

    the mean over all C(N, n) choices of n samples. With `values` the scores themselves it
    estimates E[max of n]; with gold rewards, what optimising a proxy is really worth. Uses every
    sample for every n, where n fresh samples would use each once (arXiv:2210.10760).
    """
    return float(weights(scores, n) @ np.asarray(values, np.float64))


def weights(scores: Samples, n: int) -> Each:
    """The chance of each sample to be the best of n drawn without replacement; ties share.

    By the ratio of neighbours, C(k−1, n−1)/C(k, n−1) = (k − n + 1)/k, from the top one's n/N down:
    no factorial is ever formed.
    """
    x = _checked(scores, n)
    ranks = np.arange(len(x) - 1, 0, -1)
    falling = np.cumprod(np.concatenate([[n / len(x)], np.clip(ranks - n + 1, 0, None) / ranks]))
    order = np.argsort(x, kind="stable")
    found = np.empty_like(x)
    found[order] = falling[::-1]
    return _shared(found, x)


def pair_weights(scores: Samples, n: int) -> Pairs:
    """The chance of (row, column) to be the bests of two disjoint choices of n samples.

    For rank i above rank j it is C(j−1, n−1) C(i−1−n, n−1) / (C(N, n) C(N−n, n)), the same for
    (j, i): whatever is measured on two draws of best-of-n, such as how often the scorer is right
    about them, follows without bias. Needs N ≥ 2n.
    """
    x = _checked(scores, 2 * n)
    size, order = len(x), np.argsort(x, kind="stable")
    above = np.arange(size)  # samples below rank i, of which the other n are taken already
    log_low = _log_choose(above, n - 1)
    log_high = _log_choose(above - n, n - 1)
    whole = _log_choose(np.array([size]), n)[0] + _log_choose(np.array([size - n]), n)[0]
    with np.errstate(under="ignore"):
        upper = np.tril(np.exp(log_high[:, None] + log_low[None, :] - whole), -1)
    found = np.empty((size, size))
    found[np.ix_(order, order)] = upper + upper.T
    return _shared_pairs(found, x)


def accuracy(scores: Samples, truth: Samples, n: int) -> float | None:
    """How often the scorer orders two best-of-n draws as the truth does, a tie counting half.

    Two draws that are alike to both are no comparison and are left out; None if all are. How fast
    this falls with n says how far the scorer can be followed.
    """
    chance = pair_weights(scores, n)
    x, y = np.asarray(scores, np.float64), np.asarray(truth, np.float64)
    says, is_so = np.sign(x[:, None] - x), np.sign(y[:, None] - y)
    chance = chance * ((says != 0) | (is_so != 0))
    total = float(chance.sum())
    return float((chance * (1 + says * is_so)).sum()) / (2 * total) if total > 0 else None


def win_rate(scores: Samples, n: int) -> float:
    """P(best of n beats another draw), a tie counting half, without bias; n/(n+1) without ties.

    Needs N > n: the other draw is a further sample.
    """
    x = _checked(scores, n + 1)
    ordered = np.sort(x)
    below = np.searchsorted(ordered, x, "left")
    others = np.searchsorted(ordered, x, "right") - 1
    whole = _log_choose(np.array([len(x) - 1]), n)[0]
    lost = np.exp(_log_choose(below, n) - whole) + np.exp(_log_choose(others, n) - whole)
    return 1 - float(lost.mean()) / 2


def win_rate_bound(n: int) -> float:
    """n/(n+1): how often best of n beats one draw where no two scores are equal; at most that."""
    return n / (n + 1)


def kl_bound(n: int) -> float:
    """log n − (n−1)/n: KL(best of n ‖ π₀) where no two draws coincide, else an upper bound.

    Beirami et al. 2024 (arXiv:2401.01879). It does not ask what is scored, or how well.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1 to keep the best of n, got {n}")
    return log(n) - (n - 1) / n


def kl(masses: Float[np.ndarray, " score"], n: int) -> float:
    """KL(best of n ‖ π₀) when π₀'s scores, in ascending order, have these masses.

        Σ (Fⁿ − F⁻ⁿ) log [(Fⁿ − F⁻ⁿ) / (F − F⁻)]

    Among equal scores the winner is drawn as π₀ would, so nothing else about the responses counts.
    """
    above = np.cumsum(masses) / np.sum(masses)
    steps = np.diff(above**n, prepend=0.0)
    held = steps > 0
    shares = np.diff(above, prepend=0.0)[held]
    return float(steps[held] @ np.log(steps[held] / shares))


def estimated_kl(scores: Samples, n: int) -> float:
    """KL(best of n ‖ π₀) from samples: the bound, less what equal scores take off it.

    A score seen once is taken for one of a continuum, where the bound is exact; one seen m times
    in N for an atom of mass m/N. Never above the bound, and right as N grows.
    """
    x = _checked(scores, n)
    _, counts = np.unique(x, return_counts=True)
    edges = np.concatenate([[0.0], np.cumsum(counts) / len(x)])
    atoms = counts > 1
    low, high = edges[:-1][atoms], edges[1:][atoms]
    step = high**n - low**n
    with np.errstate(divide="ignore", invalid="ignore"):
        lumped = np.where(step > 0, step * np.log(step / (high - low)), 0.0)
    return kl_bound(n) - float((_spread(high, n) - _spread(low, n) - lumped).sum())


def normal_maximum(n: int) -> float:
    """E[max of n] of independent N(0, 1): .564 for 2, 3.248 for 1024; grows as √(2 log n)."""
    x = np.linspace(-12.0, 12.0, 6001)
    below = np.array([NormalDist().cdf(point) for point in x])
    density = n * below ** (n - 1) * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    return float((x * density).sum() * (x[1] - x[0]))


def _spread(u: Float[np.ndarray, " edge"], n: int) -> Float[np.ndarray, " edge"]:
    """∫₀ᵘ n tⁿ⁻¹ log(n tⁿ⁻¹) dt: the KL of a continuum of scores up to the u-quantile."""
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = np.where(u > 0, (n - 1) * np.log(u), 0.0)
    return np.asarray(u**n * (log(n) + inner - (n - 1) / n))


def _shared(found: Each, scores: Each) -> Each:
    """Equal scores have equal chances."""
    _, group, counts = np.unique(scores, return_inverse=True, return_counts=True)
    return np.asarray((np.bincount(group, found) / counts)[group])


def _shared_pairs(found: Pairs, scores: Each) -> Pairs:
    """The same for pairs: of two groups, and within one, where no sample meets itself."""
    _, group, counts = np.unique(scores, return_inverse=True, return_counts=True)
    if (counts == 1).all():
        return found
    member = (group[:, None] == np.arange(len(counts))).astype(np.float64)
    rooms = np.outer(counts, counts) - np.diag(counts)
    spread = (member.T @ found @ member) / np.maximum(rooms, 1)
    shared = spread[group][:, group]
    np.fill_diagonal(shared, 0.0)
    return np.asarray(shared)


def _log_choose(of: np.ndarray, n: int) -> Float[np.ndarray, " row"]:
    """log C(of, n), −∞ where there are too few to choose from."""
    top = int(max(of.max(initial=0), n, 1))
    factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, top + 1)))])
    enough = of >= n
    some = np.where(enough, of, n)
    return np.asarray(
        np.where(enough, factorial[some] - factorial[n] - factorial[some - n], -np.inf)
    )


def _checked(scores: Samples, n: int) -> Each:
    x = np.asarray(scores, np.float64)
    if x.ndim != 1 or not np.isfinite(x).all():
        raise ValueError(f"scores must be a list of finite numbers, got {x.tolist()!r:.80}")
    if not 1 <= n <= len(x):
        raise ValueError(
            f"samples must be at least as many as are chosen from, got {len(x)} for {n}; draw "
            "more, or choose the best of fewer"
        )
    return x
