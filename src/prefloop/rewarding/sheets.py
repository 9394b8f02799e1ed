"""What an evaluation found, as tables."""

from math import isinf

from prefloop.compare.sheets import NONE, Sheet
from prefloop.measure.annotators import Agreement
from prefloop.measure.intervals import Interval
from prefloop.measure.reward import Along, decided
from prefloop.rewarding.evaluate import Evaluation


def main_sheet(found: Evaluation) -> Sheet:
    """Accuracy, calibration and length."""
    judged, fit, length = found.judged, found.calibration, found.length
    pairs, ties = len(judged.pairs), int((~decided(judged.p)).sum())
    missing = f", {judged.missing} without a score" if judged.missing else ""
    rows = [
        ("pairs", f"{pairs} of {len(set(judged.prompts))} prompts, {ties} ties{missing}"),
        ("accuracy", between(found.accuracy)),
        ("accuracy, tied scores wrong", between(found.accuracy_strict)),
        ("accuracy of the longer response", between(found.longer)),
        ("the most that these labels allow", number(found.bayes_limit, 3)),
        ("calibration error (ECE)", number(fit.ece, 3)),
        ("Brier score", number(fit.brier, 3)),
        ("negative log-likelihood, nats", number(fit.nll, 3)),
        ("temperature that fits best", number(fit.temperature, 2)),
        ("log-likelihood there, negative", number(fit.nll_at_temperature, 3)),
        ("position bias", number(judged.position_bias, 3)),
        ("length and reward within pairs, given the label", number(found.length_margin, 3)),
    ]
    if length:
        rows += [
            ("length and reward, Pearson, pooled", number(length.pearson, 3)),
            ("length and reward, Spearman, pooled", number(length.spearman, 3)),
            ("the same within prompts, Pearson", number(length.pearson_within, 3)),
            ("the same within prompts, Spearman", number(length.spearman_within, 3)),
            (
                "prompts with a correlation of their own",
                f"{len(length.by_prompt)}; in {length.undefined} nothing varies, "
                f"{length.few} have too few responses",
            ),
        ]
    kept = [row for row in rows if row[1] != NONE]
    return Sheet(title="Against the labels", head=("what", "value"), rows=kept)


def section_sheet(found: dict[str, tuple[int, Interval]]) -> Sheet:
    """Accuracy by section and subset."""
    rows = [(name, str(count), between(value)) for name, (count, value) in found.items()]
    return Sheet(title="By section", head=("section", "pairs", "accuracy"), rows=rows)


def annotator_sheet(found: Agreement) -> Sheet:
    """What the labels of a prompt say together."""
    rate = found.circles.rate
    share = "" if rate is None else f", {rate:.3f} of {found.circles.triples}"
    rows = [
        ("labels", f"{found.labels}, {found.ties} ties"),
        ("circles among the labels", f"{found.circles.violations}{share}"),
        (
            "the favourite is unbeaten",
            f"{number(found.best, 3)} of {found.prompts} prompts; blindly "
            f"{number(found.best_by_chance, 3)}",
        ),
        ("a tie's margin is the smaller", number(found.ties_are_closer, 3)),
    ]
    return Sheet(title="Annotators", head=("what", "value"), rows=rows)


def path_sheet(found: Along, threshold: float) -> Sheet:
    """Accuracy against KL."""
    end = "never" if found.farthest is None else f"at {found.farthest:.2f} nats"
    rows = [
        (f"{kl:.2f}", between(value)) for kl, value in zip(found.kl, found.accuracy, strict=True)
    ]
    title = f"Against KL; falls below {threshold:g} {end}"
    return Sheet(title=title, head=("KL, nats", "accuracy"), rows=rows)


def between(found: Interval) -> str:
    """`0.624 (0.604 to 0.643)`."""
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def number(value: float | None, digits: int) -> str:
    """So many digits; ∞ where it is, a dash where there is none."""
    if value is None:
        return NONE
    return "∞" if isinf(value) else f"{value:.{digits}f}".replace("-", "−")
