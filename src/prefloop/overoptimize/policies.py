"""Policies that climb a proxy: runs of their own, one for each recipe, proxy and seed."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefloop import whole
from prefloop.compare.curves import Rows
from prefloop.compare.methods import Method
from prefloop.compare.plan import Job
from prefloop.measure.health import number
from prefloop.overoptimize.draws import Draws, scorer
from prefloop.overoptimize.proxies import Pool, Trained, thresholded
from prefloop.overoptimize.request import Request
from prefloop.runs.open import phases_of

Points = tuple[list[float], list[float], list[float]]
"""√KL, proxy and gold reward, round by round"""


def job(
    request: Request, method: Method, climbed: Trained, seed: int, pool: Pool, out: Path
) -> Job:
    """The run in which this recipe optimises that proxy, with gold looking on.

    The proxy scores, and where a recipe asks, answers: its better one always wins. A recipe that
    learns from a file gets π₀'s own pairs, labelled by the proxy.
    """
    part = climbed.part.model_dump(mode="json")
    config = request.base.override({"measure.judges": [], **method.settings, "seed": seed})
    config = config.override({"explore.scorer": part})
    sources = [phase.config.sample.sources for phase in phases_of(config.override(_file("-")))]
    if any("dataset" in names for names in sources):
        config = config.override(_file(str(_labelled(climbed, seed, pool, out))))
    elif any(phase.asks for phase in phases_of(config)):
        config = config.override({"ask.oracle": thresholded(climbed.part)})
    folder = out / "policies" / method.folder / climbed.proxy.folder / f"seed-{seed}"
    return Job(
        method=method.name, point=climbed.proxy.name, seed=seed, config=config, folder=folder
    )


def points(rows: Rows) -> Points:
    """What a run measured, from π₀ on; rounds without a measurement are left out."""
    names = ("kl", "proxy_reward_mean", "gold_reward_mean")
    found = [[number(row, name) for name in names] for row in rows]
    known = [(kl, p, g) for kl, p, g in found if kl is not None and p is not None and g is not None]
    if not known:
        return [], [], []
    return (
        [max(0.0, kl) ** 0.5 for kl, _, _ in known],
        [p - known[0][1] for _, p, _ in known],
        [g - known[0][2] for _, _, g in known],
    )


def _file(path: str) -> Mapping[str, Any]:
    return {"data.preferences": path}


def _labelled(climbed: Trained, seed: int, pool: Pool, out: Path) -> Path:
    """π₀'s pairs as the proxy orders them, in TRL's columns."""
    path = out / "pairs" / climbed.proxy.folder / f"seed-{seed}.jsonl"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = _pairs(climbed, pool(seed))
        whole.write(path, "".join(json.dumps(row) + "\n" for row in rows))
    return path


def _pairs(climbed: Trained, pairs: Draws) -> Sequence[Mapping[str, str]]:
    scores = pairs.scored(scorer(climbed.part))
    rows = []
    for i, (first, second) in enumerate(scores.tolist()):
        a, b = pairs.responses[2 * i : 2 * i + 2]
        better, worse = (a, b) if first > second else (b, a)
        if first != second and a.text.strip() and b.text.strip():
            rows.append({"prompt": a.prompt.text, "chosen": better.text, "rejected": worse.text})
    return rows
