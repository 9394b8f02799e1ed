"""The numbers of a round: plain floats in, plain floats out."""

from collections.abc import Sequence
from math import exp
from statistics import fmean, pstdev
from typing import Any

from prefloop.measure.intervals import length_controlled_win_rate, mean_interval, win_rate, wins
from prefloop.measure.text import distinct_n
from prefloop.types import Response

Numbers = dict[str, Any]


def fluency(drawn: Sequence[Response], initial: Sequence[float]) -> Numbers:
    """Length, ends, diversity, and how odd the initial model finds the samples.

    `initial` are the samples' log-probabilities in nats under the initial model; `nll_ref` is the
    mean over all their tokens.
    """
    tokens = sum(len(r.tokens) for r in drawn)
    nll = -sum(initial) / tokens
    return {
        "response_length_mean": tokens / len(drawn),
        "eos_rate": fmean(r.finished for r in drawn),
        "distinct_2": distinct_n([r.text for r in drawn]),
        "nll_ref": nll,
        "perplexity_ref": exp(min(nll, 100.0)),
    }


def divergence(
    drawn: Sequence[Response], own: Sequence[float], initial: Sequence[float]
) -> Numbers:
    """KL(π‖π₀) in nats a sequence, the mean log-ratio of π's own samples (k1), and kin.

    Unbiased when `drawn` are untruncated samples at temperature 1. `sampler_gap` is how far the
    sampler's own log-probabilities are from the learner's, in nats a token.
    """
    kl, low, high = mean_interval([x - y for x, y in zip(own, initial, strict=True)])
    tokens = sum(len(r.tokens) for r in drawn)
    gaps = [abs(x - r.logp) for x, r in zip(own, drawn, strict=True) if r.logp is not None]
    return {
        "kl": kl,
        "kl_low": low,
        "kl_high": high,
        "entropy": -sum(own) / tokens,
        "sampler_gap": sum(gaps) / tokens,
    }


def reward(name: str, scores: Sequence[float]) -> Numbers:
    """Mean, spread and 95 % interval of a score, under its name."""
    mean, low, high = mean_interval(scores)
    return {
        f"{name}_reward_mean": mean,
        f"{name}_reward_low": low,
        f"{name}_reward_high": high,
        f"{name}_reward_std": pstdev(scores),
    }


def same_order(
    proxy: Sequence[float],
    other: Sequence[float],
    gold: Sequence[float],
    gold_other: Sequence[float],
) -> Numbers:
    """How often the proxy ranks two samples of one prompt as gold does, 95 % interval beside it.

    Pairs that gold cannot tell apart are left out; one that only the proxy cannot is half right.
    """
    rows = zip(proxy, other, gold, gold_other, strict=True)
    right = [0.5 if a == b else float((a > b) == (x > y)) for a, b, x, y in rows if x != y]
    if len(right) < 2:
        return {}
    mean, low, high = mean_interval(right)
    return {
        "proxy_accuracy": mean,
        "proxy_accuracy_low": max(0.0, low),
        "proxy_accuracy_high": min(1.0, high),
    }


def positive(scores: Sequence[float]) -> Numbers:
    """Mean σ(score): the probability of a kind text, for scores that are log-odds."""
    found = [1 / (1 + exp(-max(-50.0, min(50.0, score)))) for score in scores]
    mean, low, high = mean_interval(found)
    low, high = max(0.0, low), min(1.0, high)
    return {"gold_positive": mean, "gold_positive_low": low, "gold_positive_high": high}


def against(
    scores: Sequence[float],
    drawn: Sequence[Response],
    before_scores: Sequence[float],
    before: Sequence[Response],
) -> Numbers:
    """Wins over the initial model's samples for the same prompts, raw and at equal length."""
    rate, low, high = win_rate(scores, before_scores)
    longer = [float(len(x.tokens) - len(y.tokens)) for x, y in zip(drawn, before, strict=True)]
    return {
        "win_rate": rate,
        "win_rate_low": low,
        "win_rate_high": high,
        "win_rate_length_controlled": length_controlled_win_rate(
            wins(scores, before_scores).tolist(), longer
        ),
    }


def agreement(margins: Sequence[float], labels: Sequence[float]) -> Numbers:
    """How often the implicit reward's sign agrees with held-out labels; ties are left out."""
    right = [
        0.5 if h == 0 else float((h > 0) == (p > 0.5))
        for h, p in zip(margins, labels, strict=True)
        if p != 0.5
    ]
    if len(right) < 2:
        return {}
    mean, low, high = win_rate(right, [0.5] * len(right))
    return {"eval_accuracy": mean, "eval_accuracy_low": low, "eval_accuracy_high": high}
