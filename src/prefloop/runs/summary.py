"""The report of a run folder, made by anyone who may read it, while it runs or afterwards."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from prefloop.measure.health import examine
from prefloop.report.page import Asked, Example, Summary, write
from prefloop.runs.folder import RunFolder
from prefloop.store.ledger import Ledger
from prefloop.store.rows import now


def write_report(folder: Path) -> Path:
    """report.html of the run in `folder`; returns where it is."""
    path = folder / "report.html"
    write(summarize(folder), path)
    return path


def summarize(folder: Path) -> Summary:
    """What the report shows, read from the folder. LedgerError if there is no run."""
    ledger = Ledger.open(folder / "ledger.sqlite")
    try:
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        versions = json.loads((folder / "versions.json").read_text(encoding="utf-8"))
        metrics = ledger.details("metrics")
        return Summary(
            title=f"{config['recipe']} · {folder.name}",
            metrics=metrics,
            status=RunFolder(folder).status,
            created=now().replace("T", " ").replace("+00:00", " UTC"),
            notes=_notes(config),
            examples=_examples(ledger, metrics, config["measure"]["examples"]),
            preferences=_asked(ledger, metrics),
            verdicts=examine(metrics, kl_limit=config["limits"]["kl"]),
            config_yaml=(folder / "config.yaml").read_text(encoding="utf-8"),
            versions=versions,
        )
    finally:
        ledger.close()


def _notes(config: Mapping[str, Any]) -> list[str]:
    sample = config["sample"]
    law = f"temperature {sample['temperature']:g}, top-p {sample['top_p']:g}"
    return [
        f"Rewards, wins, lengths and texts are of samples drawn at {law}, one per held-out prompt.",
        "KL is that of the untruncated policy from the initial one, estimated from its own "
        "samples at temperature 1 without truncation, in nats a sequence.",
        "Intervals are 95 %. The initial policy is round 0.",
    ]


def _examples(ledger: Ledger, metrics: Sequence[Mapping[str, Any]], count: int) -> list[Example]:
    """The same held-out prompts before and after, the first of them."""
    last = max((m["round"] for m in metrics if m.get("kl") is not None), default=0)
    before, after = ledger.responses(0, "eval"), ledger.responses(last, "eval")
    scores = ledger.scores("gold", [r.id for r in (*before, *after)])
    pairs = list(zip(before, after, strict=False))[:count] if last else []
    return [
        Example(
            prompt=x.prompt.text,
            before=x.text,
            after=y.text,
            score_before=scores.get(x.id),
            score_after=scores.get(y.id),
        )
        for x, y in pairs
    ]


def _asked(ledger: Ledger, metrics: Sequence[Mapping[str, Any]], count: int = 6) -> list[Asked]:
    """Some of the last round's comparisons."""
    last = metrics[-1]["round"] if metrics else 0
    return [
        Asked(prompt=x.query.prompt.text, a=x.query.a.text, b=x.query.b.text, p=x.p)
        for x in ledger.preferences(last)[:count]
    ]
