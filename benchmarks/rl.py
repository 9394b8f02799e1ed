"""Rounds of policy gradients: beside online DPO's, TRL's RLOO, Hugging Face's scores; and memory.

Same model, responses and rewards, in float32; the sides take turns in one process, and the median
of the ratios counts, in CPU time of one thread. Nothing is generated while the clock runs. Run it
from the repository:

    .venv/bin/python benchmarks/rl.py
"""

import argparse
import gc
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import memory
import peers
import rounds
import torch
from learner import quieten, timed
from rich.console import Console
from rich.table import Table
from rounds import Samples
from transformers.utils import logging

from prefloop.models.critic import ValueHead
from prefloop.models.reward import RewardModel

Times = Mapping[str, Sequence[float]]
CLOSE = 1e-4
"""what two gradients, or two scores, may differ by, relative to their size"""
PARTS = ("ppo", "rloo", "scores", "memory")


def main() -> None:
    """Measure what was asked for, and print a line for each."""
    asked = arguments()
    quieten()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    table = Table(title=f"CPU seconds of one thread, {asked.rounds} turns, least to greatest ratio")
    for column in ("model", "tokens", "what", "beside", "s", "s beside", "beside / what"):
        table.add_column(column)
    console = Console(width=130)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for samples in [CASES[size](folder) for size in asked.sizes]:
            for part in [part for part in RACES if part in asked.only]:
                for cells in RACES[part](samples, folder, asked.rounds):
                    table.add_row(*cells)
                gc.collect()  # a trainer is a cycle, and holds its model
        if table.rows:
            console.print(table)
        if "memory" in asked.only:
            console.print(memory_table(folder))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--sizes", nargs="+", default=list(CASES), choices=list(CASES))
    return parser.parse_args()


CASES: dict[str, Callable[[Path], Samples]] = {
    "testbed": lambda folder: rounds.testbed(16, 4),
    "31M": lambda folder: rounds.random("31M", folder / "31M", 4, 4),
}
"""name → the round's samples: the embedded model's own, and those of long prompts"""


def turns(sides: Mapping[str, Callable[[], Any]], count: int) -> Times:
    """Seconds of each side, turn by turn, after one turn that does not count."""
    for side in sides.values():
        side()
    cpu = torch.device("cpu")
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(count):
        for name, side in sides.items():
            times[name].append(timed(side, time.process_time, cpu))
    return times


def row(samples: Samples, times: Times, what: str, *beside: str) -> list[str]:
    """One line: a side, the sum of others beside it, and how many times faster it is."""
    mine, others = times[what], [sum(turn) for turn in zip(*map(times.get, beside), strict=True)]
    ratios = [b / a for a, b in zip(mine, others, strict=True)]
    spread = f"{median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f})"
    seconds = (f"{median(mine):.3f}", f"{median(others):.3f}")
    return [samples.name, str(samples.tokens), what, " + ".join(beside), *seconds, spread]


def ppo_rows(samples: Samples, folder: Path, count: int) -> list[list[str]]:
    """PPO beside online DPO and what a critic costs, in as many steps on as many tokens.

    A critic on the policy's trunk has no learning of its own to pay for, but a value pass.
    """
    each = rounds.settings_of(len(samples.responses) // 2, 2)
    pairs = each.model_copy(update={"batch": each.batch // 2})
    sides = {
        "ppo": rounds.ppo_round(samples, each, rounds.own_trunk),
        "ppo, shared critic": rounds.ppo_round(samples, each, ValueHead),
        "ppo, 1 a prompt": rounds.ppo_round(samples.apart(), each, rounds.own_trunk),
        "online dpo": rounds.dpo_round(samples, pairs),
        "value pass": rounds.value_pass(samples),
        "critic's learning": rounds.critic_round(samples, each),
    }
    times = turns(sides, count)
    compared = [
        ("ppo, shared critic", "value pass"),
        ("ppo", "critic's learning"),
        ("ppo, 1 a prompt", "critic's learning"),
        ("ppo", "value pass"),
    ]
    return [row(samples, times, mine, "online dpo", other) for mine, other in compared]


def rloo_rows(samples: Samples, folder: Path, count: int) -> list[list[str]]:
    """RLOO beside TRL's, whose gradient is ours: one step on the whole round."""
    ours, mine = rounds.rloo_round(samples, rounds.settings_of(len(samples.responses), 1))
    theirs, other = peers.trl_rloo_round(samples, folder / "trl")
    agree("gradient norms", torch.tensor(ours()), torch.tensor(theirs()))
    agree("gradients", gradient(mine), gradient(other))
    times = turns({"rloo": ours, "TRL RLOOTrainer": theirs}, count)
    return [row(samples, times, "rloo", "TRL RLOOTrainer")]


def score_rows(samples: Samples, folder: Path, count: int) -> list[list[str]]:
    """Reward scores beside the same folder's by Hugging Face."""
    reward = RewardModel.of(rounds.policy_of(samples)[0])
    ours = peers.scores(reward, samples)
    theirs = peers.padded_scores(reward, samples, folder / f"reward-{samples.name}")
    agree("scores", torch.tensor(ours()), torch.tensor(theirs()))
    times = turns({"score": ours, "HF, padded": theirs}, count)
    return [row(samples, times, "score", "HF, padded")]


RACES = {"ppo": ppo_rows, "rloo": rloo_rows, "scores": score_rows}


def memory_table(folder: Path) -> Table:
    """Peak resident MiB of a PPO round on the 31 M model, as processes of their own have it."""
    rounds.random("31M", folder / "31M", 4, 4)
    table = Table(title="peak resident MiB of a PPO round, 31 M, micro-batches of 1,024 tokens")
    for column in ("policy, reference, reward, critic", "allocator", "before", "peak", "more"):
        table.add_column(column)
    for allocator in memory.ALLOCATORS:
        for kind in memory.KINDS:
            before, peak = memory.measured(kind, allocator, folder / "31M")
            numbers = (f"{number:.0f}" for number in (before, peak, peak - before))
            table.add_row(kind, allocator, *numbers)
    return table


def gradient(model: Any) -> torch.Tensor:
    """Every parameter's, as the last step left it."""
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def agree(what: str, ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """ValueError where both sides do not compute the same."""
    off = float((ours - theirs).norm() / theirs.norm())
    if not off < CLOSE:
        raise ValueError(f"{what} must agree to {CLOSE:g} before they are timed, got {off:.2g}")


if __name__ == "__main__":
    main()
