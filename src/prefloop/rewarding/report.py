"""A scorer by name on a file of labels: everything asked for, printed and written."""

from dataclasses import dataclass
from pathlib import Path

from prefloop.compare.sheets import Sheet
from prefloop.rewarding import results, sheets
from prefloop.rewarding.evaluate import annotators, judge, measured, sections
from prefloop.rewarding.parts import scorer
from prefloop.rewarding.path import by_kl
from prefloop.rewarding.rows import comparisons, read


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is said beside the main table."""

    sections: bool = False
    annotators: bool = False
    threshold: float = 0.75
    limit: int | None = None


def report(
    name: str, source: str, wanted: Wanted, out: Path | None, *, device: str = "auto"
) -> list[Sheet]:
    """The tables; with `out`, numbers and drawings as well."""
    pairs = comparisons(read(source, wanted.limit))
    judged = judge(scorer(name, device=device), pairs)
    found = measured(judged)
    parts = sections(judged) if wanted.sections else None
    people = annotators(judged) if wanted.annotators else None
    is_run = (Path(source) / "ledger.sqlite").exists()
    path = by_kl(judged, Path(source), wanted.threshold) if is_run else None
    if out is not None:
        results.write(out, found, sections=parts, annotators=people, path=path)
    shown = [sheets.main_sheet(found)]
    shown += [sheets.section_sheet(parts)] if parts else []
    shown += [sheets.annotator_sheet(people)] if people else []
    return shown + ([sheets.path_sheet(path, wanted.threshold)] if path else [])
