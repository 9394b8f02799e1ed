"""RLP beside PPO with the reward that it began with, and beside new labels, on the testbed.

Every recipe runs for every seed: 1,536 labels in all, and as many PPO rounds in either phase. The
first policy phase of `rlp_spg` is PPO's row. Gold reward is read off at the largest KL that all
came to, how often the reward model is right about pairs of the policy's samples at the largest KL
where all were asked; differences are paired by seed, intervals are Student's. A folder that is
there is continued. Some nine minutes a run on one core; run it from the repository:

    .venv/bin/python benchmarks/rlp.py --out runs/rlp
"""

import argparse
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import isfinite
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from rich.console import Console
from rich.table import Table

from prefloop.compare.curves import GOLD, gold_at, last, reach
from prefloop.measure.intervals import mean_interval
from prefloop.runs import run

Rows = Sequence[Mapping[str, Any]]
Legs = Mapping[str, Mapping[int, Rows]]
"""method → seed → the lines of metrics of its way from π₀"""
RECIPES = ("rlp_spg", "rlp_uml", "iterated_rlhf")
BESIDE = "ppo"
SETTINGS = {"measure.every": 2, "checkpoint.keep": 1, "model.threads": 1}


def main() -> None:
    """Run what is missing, and print the table."""
    asked, console = arguments(), Console(width=150)
    found: dict[tuple[str, int], Rows] = {}
    for recipe, seed in product(asked.recipes, range(asked.seeds)):
        folder, settings = asked.out / f"{recipe}-{seed}", {"rounds": asked.rounds, "seed": seed}
        console.print(f"{folder} ({len(found) + 1} of {len(asked.recipes) * asked.seeds})")
        found[recipe, seed] = run(recipe, folder, SETTINGS | settings).metrics
    console.print(table(legs(found)))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/rlp"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=6, help="of either policy phase")
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=RECIPES)
    return parser.parse_args()


def legs(found: Mapping[tuple[str, int], Rows]) -> Legs:
    """Both policy phases of every run, by method, each a way of its own from π₀."""
    split: dict[str, dict[int, Rows]] = {}
    for (recipe, seed), rows in found.items():
        turn = next(row["round"] for row in rows if row["phase"] == "reward 2")
        first = f"{recipe}, first phase" if recipe == "iterated_rlhf" else BESIDE
        before, after = rows[1 : turn + 1], rows[turn + 1 :]
        for method, leg in ((first, before), (recipe, after)):
            split.setdefault(method, {})[seed] = [_of(method, row) for row in (rows[0], *leg)]
    return split


def _of(method: str, row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row as the method's. A reward round measures the policy before it, by another proxy."""
    proxy = None if row["phase"].startswith("reward") else row.get("proxy_accuracy")
    return {**row, "phase": method, "proxy_accuracy": proxy}


def table(legs: Legs) -> Table:
    """A row a method."""
    gold, proxy = (at_shared_kl(legs, name) for name in (GOLD, "proxy_accuracy"))
    found = Table()
    for title in (
        *("method", f"gold at KL {gold.kl:.2f}", "difference to PPO"),
        *("gold at the end", "KL at the end", f"right at KL {proxy.kl:.2f}"),
    ):
        found.add_column(title)
    for method, runs in legs.items():
        beside = gold.values[BESIDE]
        found.add_row(
            method,
            interval(gold.values[method].values()),
            interval(value - beside[seed] for seed, value in gold.values[method].items()),
            *(interval(known(last(rows, name)) for rows in runs.values()) for name in (GOLD, "kl")),
            interval(proxy.values[method].values()),
        )
    return found


@dataclass(frozen=True, kw_only=True)
class Shared:
    """A metric at the largest KL at which every run has it."""

    kl: float
    values: Mapping[str, Mapping[int, float]]
    """method → seed → value"""


def at_shared_kl(legs: Legs, name: str) -> Shared:
    """The metric there, linear in √KL between measurements."""
    kl = min(reach(rows, name) for runs in legs.values() for rows in runs.values())
    values = {
        method: {seed: known(gold_at(rows, kl, name)) for seed, rows in runs.items()}
        for method, runs in legs.items()
    }
    return Shared(kl=kl, values=values)


def known(value: float | None) -> float:
    """The value; ValueError where a run never measured it."""
    if value is None:
        raise ValueError("a run has no such measurement; was it stopped? Run the command again")
    return value


def interval(values: Iterable[float]) -> str:
    """The mean and its 95 % interval, which one seed alone has none of."""
    found = mean_interval([*values])
    spread = f" ({found.low:.3f} to {found.high:.3f})" if isfinite(found.low) else ""
    return f"{found.value:.3f}{spread}"


if __name__ == "__main__":
    main()
