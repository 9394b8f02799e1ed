"""From labels to the folder of a reward model, whole or not at all."""

import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from time import monotonic
from typing import Any

from prefloop import plugins
from prefloop.config import ConfigError
from prefloop.engine.single import settle_threads
from prefloop.oracles._errors import OracleError
from prefloop.rewarding.evaluate import Evaluation, evaluate
from prefloop.rewarding.request import Request
from prefloop.rewarding.rows import Row, comparisons, read, responses_of
from prefloop.rng import key
from prefloop.runs.folder import versions, writing
from prefloop.types import Preference, Ranking, Rating

Told = Callable[[int, int], None]
log = logging.getLogger("prefloop")
REPORT = "training.json"


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What came of it; `held_out` is None where nothing decided was held out."""

    folder: Path
    report: dict[str, Any]
    held_out: Evaluation | None


def train(request: Request, out: Path, told: Told = lambda done, total: None) -> Trained:
    """Train, measure on prompts left out of training, and write the folder with training.json.

    It appears under its name when all is there. ValueError where something is there already.
    """
    check_free(out)
    config = request.config
    settle_threads(config.model.threads)
    rows = read(request.source, config.data.limit)
    fitted, held = split(rows, config.reward.holdout, config.seed)
    begun, part = monotonic(), partial_folder(out)
    report = {"kind": request.kind, **_fit(request, fitted, part, told)}
    found = _measured(request, part, held)
    report |= {
        "source": request.source,
        "backbone": request.backbone,
        "prompts": prompts(fitted),
        "prompts_held_out": prompts(held),
        "seconds": monotonic() - begun,
        "settings": {"seed": config.seed, "reward": config.reward.model_dump(mode="json")},
        "versions": versions(),
        "held_out": found.json if found else None,
    }
    settle(part, out, report)
    return Trained(folder=out, report=report, held_out=found)


def check_free(out: Path) -> None:
    """ValueError where something is there already."""
    if out.exists():
        raise ValueError(f"{out} is there already; remove it, or write to another folder")


def partial_folder(out: Path) -> Path:
    """An empty folder beside `out`, for what is not all there yet."""
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    with writing(part):
        part.mkdir(parents=True)
    return part


def settle(part: Path, out: Path, report: Mapping[str, Any]) -> None:
    """The report beside what was trained, and the folder under its name."""
    with writing(out):
        (part / REPORT).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        part.rename(out)


def split(rows: Sequence[Row], share: float, seed: int) -> tuple[list[Row], list[Row]]:
    """(to learn from, to measure by): a prompt's rows stay together, whatever else is there."""
    held = [key(seed, "reward", responses_of(r)[0].prompt.id) / 2**63 < share for r in rows]
    fitted = [row for row, out in zip(rows, held, strict=True) if not out]
    if not says_something(fitted):
        raise ConfigError(
            f"none of {len(fitted)} rows to learn from says what is better: all are ties, or all "
            "ratings of an objective are the same, or what is held out leaves none"
        )
    return fitted, [row for row, out in zip(rows, held, strict=True) if out]


def says_something(rows: Sequence[Row]) -> bool:
    """Is any response better than another, by an answer, a rank or an objective's ratings?"""
    ratings = [row.values for row in rows if isinstance(row, Rating)]
    columns = zip(*ratings, strict=True)
    known = [{value for value in column if not isnan(value)} for column in columns]
    pairs = any(row.p != 0.5 for row in rows if isinstance(row, Preference))
    lists = any(len({*row.ranks}) > 1 for row in rows if isinstance(row, Ranking))
    return pairs or lists or any(len(values) > 1 for values in known)


def scorer_part(request: Request, folder: Path) -> dict[str, Any]:
    """The part of oracles/ that reads such a folder."""
    name = "pair_model" if request.kind == "pair" else "reward_model"
    return {"name": "feature_head" if request.is_on_features else name, "path": str(folder)}


def _fit(request: Request, rows: Sequence[Row], folder: Path, told: Told) -> dict[str, Any]:
    if request.is_of_attributes:
        from prefloop.rewarding import attributes

        count, seed = request.config.reward.heads, request.config.seed
        return attributes.train(rows, request.backbone, count, folder, seed)
    if request.is_on_features:
        from prefloop.rewarding import heads

        return heads.train(comparisons(rows), request.backbone, folder, request.config.seed)
    if request.kind == "pair":
        from prefloop.rewarding import pairs

        return pairs.train(comparisons(rows), request.config, folder, told)
    from prefloop.rewarding import scores

    return scores.train(rows, request.config, folder, told)


def _measured(request: Request, folder: Path, held: Sequence[Row]) -> Evaluation | None:
    part = scorer_part(request, folder)
    options = {key: value for key, value in part.items() if key != "name"}
    if not request.is_on_features:
        model = request.config.model
        options |= {"device": model.device, "max_tokens": model.max_tokens}
    return measured(part["name"], options, comparisons(held))


def measured(
    name: str, options: Mapping[str, Any], held: Sequence[Preference]
) -> Evaluation | None:
    """Through the folder, as anyone will read it; None where no decided pair has a score."""
    if all(pair.p == 0.5 for pair in held):
        return None
    try:
        return evaluate(plugins.build("oracles", name, options), held)
    except OracleError as error:
        log.warning("the model is there, but not measured: %s", error)
        return None


def prompts(rows: Sequence[Row]) -> int:
    """How many there are."""
    return len({responses_of(row)[0].prompt.id for row in rows})
