"""Take what a run made out of its folder."""

from pathlib import Path

import yaml

from prefloop.config import Config, parse
from prefloop.runs.folder import FolderError
from prefloop.store.exporting import write_preferences
from prefloop.store.ledger import Ledger


def labels(folder: Path, target: Path) -> int:
    """Every answered query as TRL preference Parquet; returns how many."""
    ledger = Ledger.open(folder / "ledger.sqlite")
    try:
        rounds = [d["round"] for d in ledger.details("metrics")]
        last = max(rounds, default=0) + 1
        answered = [p for r in range(1, last + 1) for p in ledger.preferences(r)]
    finally:
        ledger.close()
    return write_preferences(answered, target)


def policy(folder: Path, target: Path, round: int | None) -> int:
    """The policy after a round (default: the last) as a Hugging Face folder; returns the round."""
    from prefloop.models.load import load, load_weights, save
    from prefloop.runs.checkpoints import Checkpoints

    config = written(folder)
    checkpoints = Checkpoints(folder / "checkpoints", config.checkpoint)
    kept = checkpoints.rounds()
    if not kept or (round is not None and round not in kept):
        raise FolderError(
            f"{folder} keeps the checkpoints of rounds {kept or 'none'}, not of {round}; raise "
            "checkpoint.keep to keep more of the next run"
        )
    chosen = kept[-1] if round is None else round
    loaded = load(config.model)
    load_weights(loaded.model, dict(checkpoints.load(chosen).weights))
    save(loaded, target)
    return chosen


def written(folder: Path) -> Config:
    """The resolved config of a run folder."""
    path = folder / "config.yaml"
    if not path.exists():
        raise FolderError(f"{folder} is no run folder: it has no config.yaml")
    return parse(yaml.safe_load(path.read_text(encoding="utf-8")))
