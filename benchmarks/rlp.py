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
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
from rich.console import Console
from rich.table import Table

from prefloop.compare.curves import last
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
    """Both policy phases of every run, by method.

    The reward round after the first phase measures that phase's last policy.
    """
    split: dict[str, dict[int, Rows]] = {}
    for (recipe, seed), rows in found.items():
        turn = next(row["round"] for row in rows if row["phase"] == "reward 2")
        first = f"{recipe}, first phase" if recipe == "iterated_rlhf" else BESIDE
        split.setdefault(first, {})[seed] = [row for row in rows if row["round"] <= turn]
        second = [row for row in rows if row["round"] > turn]
        split.setdefault(recipe, {})[seed] = [rows[0], *second]
    return split


def table(legs: Legs) -> Table:
    """A row a method."""
    reached = shared(legs, "gold_reward_mean")
    asked = shared(legs, "proxy_accuracy")
    found = Table()
    for title in (
        *("method", f"gold at KL {reached:.2f}", "difference to PPO"),
        *("gold at the end", "KL at the end", f"right at KL {asked:.2f}"),
    ):
        found.add_column(title)
    beside = {seed: at(rows, "gold_reward_mean", reached) for seed, rows in legs[BESIDE].items()}
    for method, runs in legs.items():
        gold = {seed: at(rows, "gold_reward_mean", reached) for seed, rows in runs.items()}
        differences = [gold[seed] - beside[seed] for seed in gold]
        found.add_row(
            method,
            interval([*gold.values()]),
            "" if method == BESIDE else interval(differences),
            *(
                interval([last(rows, name) or 0.0 for rows in runs.values()])
                for name in ("gold_reward_mean", "kl")
            ),
            interval([at(rows, "proxy_accuracy", asked) for rows in runs.values()]),
        )
    return found


def points(rows: Rows, name: str) -> list[tuple[float, float]]:
    """(√KL, value) where both were measured, in the order of KL; a reward round has no proxy."""
    is_proxy = name == "proxy_accuracy"
    known = [row for row in rows if not (is_proxy and row["phase"].startswith("reward"))]
    pairs = [(row["kl"], row.get(name)) for row in known]
    return sorted((max(0.0, x) ** 0.5, y) for x, y in pairs if None not in (x, y))


def shared(legs: Legs, name: str) -> float:
    """The largest KL at which every run has the metric."""
    return min(points(rows, name)[-1][0] for runs in legs.values() for rows in runs.values()) ** 2


def at(rows: Rows, name: str, kl: float) -> float:
    """The metric at that KL, linear in √KL between measurements."""
    return float(np.interp(kl**0.5, *zip(*points(rows, name), strict=True)))


def interval(values: Sequence[float]) -> str:
    """The mean and its 95 % interval."""
    found = mean_interval(values)
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


if __name__ == "__main__":
    main()
