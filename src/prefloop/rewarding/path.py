"""A scorer on a run's own pairs, round by round: accuracy against KL."""

from pathlib import Path

from prefloop.measure.reward import Along, along, decided
from prefloop.rewarding.evaluate import Judged
from prefloop.rewarding.rows import answered
from prefloop.store.ledger import Ledger


def by_kl(judged: Judged, folder: Path, threshold: float = 0.75) -> Along:
    """Accuracy on the pairs that a run asked about, by the KL of the policy that drew them.

    The labels are the run's answers. Rounds whose policy's KL was not measured are left out.
    """
    asked = {pair.query.id: round for round, pair in answered(folder)}
    kl = _kl(folder)
    rounds = [asked.get(pair.query.id, 0) for pair in judged.pairs]
    far, parts = [], []
    for round in sorted(set(rounds)):
        part = judged.among([r == round for r in rounds])
        if round - 1 in kl and decided(part.p).any():
            far.append(kl[round - 1])
            parts.append((part.margin, part.p, part.prompts))
    if not far:
        raise ValueError(f"{folder} measured the KL of no policy that drew pairs")
    return along(far, parts, threshold)


def _kl(folder: Path) -> dict[int, float]:
    """KL from π₀ of the policy after each round; round 0 is π₀ itself."""
    ledger = Ledger.open(folder / "ledger.sqlite")
    try:
        rows = ledger.details("metrics")
    finally:
        ledger.close()
    found = {int(row["round"]): row["kl"] for row in rows if row.get("kl") is not None}
    return {0: 0.0} | {round: max(0.0, value) for round, value in found.items()}
