"""`prefloop theory`: check every claim, run the regret experiments, say what was found."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from prefloop.theory import methods, offline, regret
from prefloop.theory.claim import check
from prefloop.theory.claims import CLAIMS
from prefloop.theory.tables import claims_table, offline_table, regret_table

SIZES = (10, 30, 100, 300, 1000)
BETAS = (0.1, 0.5)
OFFLINE_BETAS = (0.1, 0.5, 1.0)
Online = dict[float, list[regret.Outcome]]


def run(full: bool = False, out: Path | None = None, console: Console | None = None) -> int:
    """Print claims, regret and findings, draw into `out`; 1 if a claim fails, else 0.

    `full` takes ten times the worlds, a question a round instead of five, and adds fits by AdamW.
    """
    console = console or _console(record=out is not None)
    verdicts = list(check(CLAIMS))
    console.print(claims_table(verdicts))
    large = regret.Setting(seeds=300, rounds=200, questions=1)
    setting = large if full else regret.Setting(seeds=30)
    rules = {b: regret.compare(replace(setting, beta=b), methods.pair_rules(b)) for b in BETAS}
    _tell(console, rules, "pairs asked about")
    bonuses = {
        b: regret.compare(replace(setting, beta=b), methods.bonuses(b, setting.ridge))
        for b in BETAS
    }
    _tell(console, bonuses, "pairs + what is hoped for")
    learners = offline.LEARNERS | (offline.DESCENDED if full else {})
    collected = replace(setting, rewards="unit", seeds=10 * setting.seeds)
    learned = offline.compare(collected, SIZES, OFFLINE_BETAS, learners)
    for beta, gaps in learned.items():
        console.print(offline_table(gaps, SIZES, beta))
        _say(console, offline.findings(gaps, SIZES))
    failed = [verdict for verdict in verdicts if not verdict.holds]
    for verdict in failed:
        console.print(f"[red]does not hold:[/red] {verdict.claim.name}", highlight=False)
    console.print(f"{len(verdicts) - len(failed)} of {len(verdicts)} claims hold")
    if out is not None:
        _save(out, console, rules, bonuses, learned)
    return 1 if failed else 0


def _console(record: bool) -> Console:
    """Wide enough for the tables where no terminal says how wide it is."""
    found = Console(record=record)
    return found if found.is_terminal else Console(record=record, width=130)


def _tell(console: Console, outcomes: Online, what: str) -> None:
    for beta, found in outcomes.items():
        console.print(regret_table(found, beta, what))
        _say(console, regret.findings(found))


def _say(console: Console, lines: Sequence[str]) -> None:
    for line in lines:
        console.print(f"  {line}", highlight=False)


def _save(
    out: Path,
    console: Console,
    rules: Online,
    bonuses: Online,
    learned: Mapping[float, offline.Gaps],
) -> None:
    """Draw the plots and write what was printed; matplotlib is loaded only here."""
    from prefloop.theory import plots

    out.mkdir(parents=True, exist_ok=True)
    for name, outcomes in (("rules", rules), ("bonuses", bonuses)):
        for beta, found in outcomes.items():
            plots.draw_regret(found, beta, out / f"{name}-beta-{beta:g}.svg")
    for beta, gaps in learned.items():
        plots.draw_offline(SIZES, gaps, beta, out / f"offline-beta-{beta:g}.svg")
    if console.record:
        (out / "theory.txt").write_text(console.export_text(), encoding="utf-8")
