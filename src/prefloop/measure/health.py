"""The health of a run, read from its metrics: a number, a verdict and one sentence of advice each.

A check looks at the rounds so far (the objects of `metrics.jsonl`, round 0 being the initial
policy) and returns None where its numbers are missing. A threshold is where a check turns; they
are judgements, written down as defaults so that they can be argued with. `ties`, `duplicates` and
`eos_rate` are shares of a round; `labels_total` and `labels_missing` are running counts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

from prefloop.measure.phases import last_phase

Metrics = Sequence[Mapping[str, Any]]
Level = Literal["ok", "watch", "stop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one check found: its number, what that means, and what to do about it."""

    name: str
    value: float
    verdict: Level
    advice: str


def examine(metrics: Metrics, *, kl_limit: float | None = None) -> list[Verdict]:
    """Every check whose numbers are there, in the order of the list below."""
    found = [check(metrics) for check in CHECKS]
    found.insert(KL_PLACE, kl_range(metrics, limit=kl_limit))
    return [verdict for verdict in found if verdict]


def finite_numbers(metrics: Metrics) -> Verdict | None:
    """Metrics that are NaN or infinite: a loss or a scorer has broken down."""
    floats = [value for row in metrics for value in row.values() if isinstance(value, float)]
    if not floats:
        return None
    broken = float(sum(not isfinite(value) for value in floats))
    advice = "Lower learn.lr, or set learn.precision to float32: a metric is NaN or infinite."
    return _judge("Metrics that are not finite", broken, advice, watch=0.0, stop=0.0)


def first_step_loss(metrics: Metrics, *, watch: float = 5e-3, stop: float = 5e-2) -> Verdict | None:
    """Largest gap between a round's first loss and the loss's value at π = π_ref.

    Relative to that value, or absolute where it is below one. Float32 gives about 1e-6,
    bfloat16 4e-3 on long responses; a wrong template, a mask or dropout gives more.
    """
    gaps = [
        abs(first - expected) / max(abs(expected), 1.0)
        for row in metrics
        if (first := number(row, "loss_first")) is not None
        and (expected := number(row, "loss_expected_first")) is not None
    ]
    advice = (
        "The policy does not start at its reference: check model.template and dropout, "
        "and try learn.precision: float32."
    )
    return _judge("First loss against its value at the reference", _max(gaps), advice, watch, stop)


def likelihood_falls(metrics: Metrics, *, watch: float = 0.1, stop: float = 0.5) -> Verdict | None:
    """How much of the chosen responses' log-probability was lost, where the rejected fell as well.

    Relative to the reference's on the same rows; zero where one of the two rose
    (arXiv:2402.13228, 2410.08847).
    """
    names = ("logp_chosen", "logp_chosen_ref", "logp_rejected", "logp_rejected_ref")
    chosen, before, rejected, rejected_before = (latest(metrics, name) for name in names)
    if chosen is None or not before or rejected is None or rejected_before is None:
        return None
    both_fell = chosen < before and rejected < rejected_before
    loss = (before - chosen) / abs(before) if both_fell else 0.0
    advice = "Lower learn.lr or raise learn.loss.beta, or add an SFT term to learn.loss."
    return _judge("Chosen log-prob falling with rejected", loss, advice, watch, stop)


def length_growth(metrics: Metrics, *, watch: float = 0.25, stop: float = 1.0) -> Verdict | None:
    """Relative growth in length, where it outruns gold in standard deviations of round 0."""
    length, gain = trend(metrics, "response_length_mean"), _gold_gain(metrics)
    if not length or not length[0] or gain is None:
        return None
    growth = length[1] / length[0] - 1
    advice = (
        "The policy learns to talk, not to answer: use a length-normalised learn.loss or lower "
        "sample.max_new_tokens."
    )
    outrun = growth if growth > gain else min(growth, 0.0)
    return _judge("Length growing faster than gold", outrun, advice, watch, stop)


def proxy_parts_from_gold(
    metrics: Metrics, *, watch: float = 0.2, stop: float = 0.5
) -> Verdict | None:
    """Gold lost since its best round while the proxy rose, in gold's standard deviations.

    Of the last phase, since another may have another proxy. Over-optimisation as in Gao et al.
    2022 (arXiv:2210.10760).
    """
    scale = trend(metrics, "gold_reward_std", least=1)
    names = "gold_reward_mean", "proxy_reward_mean"
    both = [(gold, proxy) for gold, proxy in _columns(last_phase(metrics), *names)]
    if len(both) < 2 or not scale or not scale[0]:
        return None
    best, last = max(both), both[-1]
    loss = (best[0] - last[0]) / scale[0] if last[1] > best[1] else 0.0
    advice = "Go back to the best round: lower rounds or set limits.kl, or renew explore.scorer."
    return _judge("Proxy up while gold down", loss, advice, watch, stop)


def kl_range(metrics: Metrics, *, limit: float | None = None) -> Verdict | None:
    """Nats a sequence from the initial policy.

    Watch from 80 % of the limit, stop beyond it; without a limit watch beyond 15 nats, where small
    reward models stop being accurate, and stop beyond 30.
    """
    watch, stop = (0.8 * limit, limit) if limit else (15.0, 30.0)
    advice = "Raise learn.loss.beta, lower learn.lr, or set limits.kl to stop earlier."
    return _judge("KL from the initial policy (nats)", latest(metrics, "kl"), advice, watch, stop)


def diversity(metrics: Metrics, *, watch: float = 0.7, stop: float = 0.4) -> Verdict | None:
    """Share of the initial distinct-2 that is left."""
    advice = "Responses grow alike: raise learn.loss.beta or sample.temperature."
    left = _share_left(metrics, "distinct_2")
    return _judge("Distinct-2 left of the start's", left, advice, watch, stop)


def entropy(metrics: Metrics, *, watch: float = 0.5, stop: float = 0.2) -> Verdict | None:
    """Share of the initial entropy per token that is left."""
    advice = "The policy grows certain: raise learn.loss.beta or lower learn.lr."
    left = _share_left(metrics, "entropy")
    return _judge("Entropy left of the start's", left, advice, watch, stop)


def ties(metrics: Metrics, *, watch: float = 0.25, stop: float = 0.5) -> Verdict | None:
    """Share of the latest round's answers that were ties: labels paid for that teach little."""
    advice = "Ask about pairs that differ more: explore.rule best_worst, or more sample.sources."
    return _judge("Ties among the answers", latest(metrics, "ties"), advice, watch, stop)


def missing_labels(metrics: Metrics, *, watch: float = 0.05, stop: float = 0.2) -> Verdict | None:
    """Share of all questions so far that got no answer."""
    missing, total = latest(metrics, "labels_missing"), latest(metrics, "labels_total")
    if missing is None or total is None or missing + total == 0:
        return None
    share = missing / (missing + total)
    advice = "Look at the oracle's errors in the ledger; raise ask.retries if they pass by."
    return _judge("Missing labels", share, advice, watch, stop)


def duplicates(metrics: Metrics, *, watch: float = 0.1, stop: float = 0.3) -> Verdict | None:
    """Share of the latest round's responses that repeat another to the same prompt."""
    advice = "Candidates repeat: raise sample.temperature, sample.top_p or sample.max_new_tokens."
    return _judge("Duplicate responses", latest(metrics, "duplicates"), advice, watch, stop)


def ends(metrics: Metrics, *, watch: float = 0.5, stop: float = 0.05) -> Verdict | None:
    """Share of responses that end by themselves; near zero EOS was never trained."""
    advice = (
        "Raise sample.max_new_tokens; if responses still never end, EOS is not trained: "
        "check model.template."
    )
    rate = latest(metrics, "eos_rate")
    return _judge("Responses that end by themselves", rate, advice, watch, stop)


def sampler_gap(metrics: Metrics, *, watch: float = 0.05, stop: float = 0.2) -> Verdict | None:
    """Largest mean |Δ log-prob| per token between sampler and learner.

    Float32 gives about 1e-5, bfloat16 about 1e-2; more means other weights or another template.
    """
    gaps = [gap for row in metrics if (gap := number(row, "sampler_gap")) is not None]
    advice = "Sampler and trainer disagree: set sample.precision: float32, and check its weights."
    return _judge("Sampler against trainer (nats a token)", _max(gaps), advice, watch, stop)


def leaked_prompts(metrics: Metrics) -> Verdict | None:
    """Evaluation prompts that were trained on; one is too many."""
    seen = [n for row in metrics if (n := number(row, "eval_prompts_seen")) is not None]
    advice = "What is measured was trained on: give other prompts as data.eval_prompts."
    return _judge("Evaluation prompts seen in training", _max(seen), advice, watch=0.0, stop=0.0)


def ratio_at_start(metrics: Metrics, *, watch: float = 1e-3, stop: float = 1e-2) -> Verdict | None:
    """Largest mean |π/π_old − 1| of a round's first step: nothing has moved yet.

    Float32 gives about 1e-6, bfloat16 up to 1e-2; more means dropout, or another temperature.
    """
    gaps = [gap for row in metrics if (gap := number(row, "ratio_off_first")) is not None]
    advice = "Old log-probabilities are not the learner's: try learn.precision: float32."
    return _judge("Policy ratio before the first step", _max(gaps), advice, watch, stop)


def critic_error(metrics: Metrics, *, watch: float = 2.0, stop: float = 10.0) -> Verdict | None:
    """How many times its first value the critic's squared error has grown to, in the last phase."""
    values = trend(last_phase(metrics), "value_error")
    advice = "The value loss explodes: lower learn.lr or learn.loss.value_weight, or credit.clip."
    growth = values[1] / values[0] if values and values[0] > 0 else None
    return _judge("Critic's error against the first round's", growth, advice, watch, stop)


def reward_accuracy(metrics: Metrics, *, watch: float = 0.6, stop: float = 0.52) -> Verdict | None:
    """Share of held-out answers that the run's own reward model ranks the same way."""
    advice = "The reward model hardly beats a coin: ask for more labels, or tune reward.lr."
    found = latest(metrics, "reward_accuracy")
    return _judge("Reward model on held-out answers", found, advice, watch, stop)


def proxy_accuracy(metrics: Metrics, *, watch: float = 0.7, stop: float = 0.6) -> Verdict | None:
    """How often the proxy ranks two samples of the policy as gold does, where the policy is now.

    People agree with each other at 0.60 to 0.75; below that climbing the proxy leads astray.
    """
    advice = "KL left the proxy's accurate range: set limits.kl, or train it on samples from here."
    found = latest(metrics, "proxy_accuracy")
    return _judge("Proxy agreeing with gold on the policy's samples", found, advice, watch, stop)


CHECKS: tuple[Callable[[Metrics], Verdict | None], ...] = (
    first_step_loss,
    likelihood_falls,
    length_growth,
    proxy_parts_from_gold,
    diversity,
    entropy,
    ties,
    missing_labels,
    duplicates,
    ends,
    sampler_gap,
    leaked_prompts,
    ratio_at_start,
    critic_error,
    reward_accuracy,
    proxy_accuracy,
    finite_numbers,
)
KL_PLACE = 4
"""where `kl_range`, the one check that knows a setting, stands among the others"""


def number(row: Mapping[str, Any], name: str) -> float | None:
    """The metric as a finite float, None where it is absent, null or not finite."""
    value = row.get(name)
    return float(value) if isinstance(value, int | float) and isfinite(value) else None


def latest(metrics: Metrics, name: str) -> float | None:
    """The last value the metric had."""
    return next((x for row in reversed(metrics) if (x := number(row, name)) is not None), None)


def trend(metrics: Metrics, name: str, *, least: int = 2) -> tuple[float, float] | None:
    """The metric's first and last values, None where it has fewer than `least`."""
    values = [x for row in metrics if (x := number(row, name)) is not None]
    return (values[0], values[-1]) if len(values) >= least else None


def _judge(
    name: str, value: float | None, advice: str, watch: float, stop: float
) -> Verdict | None:
    """Beyond `watch`, beyond `stop`; a threshold where stop < watch is one to stay above."""
    if value is None:
        return None
    sign = -1 if stop < watch else 1
    level: Level = "ok"
    if sign * value > sign * stop:
        level = "stop"
    elif sign * value > sign * watch:
        level = "watch"
    return Verdict(
        name=name,
        value=value,
        verdict=level,
        advice="Nothing to change." if level == "ok" else advice,
    )


def _gold_gain(metrics: Metrics) -> float | None:
    gold = trend(metrics, "gold_reward_mean")
    scale = trend(metrics, "gold_reward_std", least=1)
    return (gold[1] - gold[0]) / scale[0] if gold and scale and scale[0] else None


def _share_left(metrics: Metrics, name: str) -> float | None:
    values = trend(metrics, name)
    return values[1] / values[0] if values and values[0] > 0 else None


def _columns(metrics: Metrics, *names: str) -> list[tuple[float, ...]]:
    """The rows in which every one of the metrics has a value."""
    rows = [[number(row, name) for name in names] for row in metrics]
    return [tuple(x for x in row if x is not None) for row in rows if None not in row]


def _max(values: Sequence[float]) -> float | None:
    return max(values, default=None)
