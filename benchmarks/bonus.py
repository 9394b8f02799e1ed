"""What a bonus costs a learning step: one more response to each pair's prompt, in the same forward.

The step with the bonus and the one without take turns on the same pairs, in CPU time of one
thread; the target is 1.35 times. Run it from the repository:

    .venv/bin/python benchmarks/bonus.py
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from cases import model, tokenizer, trees
from learner import race, timed
from rich.console import Console
from rich.table import Table

from prefloop.bonuses.copo import copo
from prefloop.config import Learn
from prefloop.learn.facts import Facts
from prefloop.learn.learner import Learner, Plan
from prefloop.losses.dpo import dpo
from prefloop.models.load import Loaded
from prefloop.models.transformer import TransformerPolicy
from prefloop.types import Preference, Prompt, Query, Response

TARGET = 1.35
CASES = {
    "as on the testbed": ((6, 9), (12, 18)),
    "ragged pairs": ((32, 96), (32, 96)),
    "long prompts": ((180, 220), (48, 64)),
}
"""name → bounds of prompt and response lengths, in tokens"""


def main() -> None:
    """Time both steps for each case, and print what the bonus adds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--sizes", nargs="+", default=["3M", "31M"], choices=["3M", "31M"])
    settings = parser.parse_args()
    torch.set_num_threads(1)
    clock = lambda step: timed(step, time.process_time, torch.device("cpu"))
    table = Table(title=f"CPU seconds a step, best of {settings.rounds}; target {TARGET}x")
    for column in ("model", "case", "dpo", "dpo + copo", "ratio", "tokens"):
        table.add_column(column)
    for size in settings.sizes:
        for name, (prompts, responses) in CASES.items():
            steps = {side: step(size, prompts, responses, settings.pairs, side) for side in SIDES}
            best = race({side: run for side, (run, _) in steps.items()}, settings.rounds, clock)
            plain, more = (best[side] for side in SIDES)
            tokens = steps["dpo + copo"][1] / steps["dpo"][1]
            cells = (f"{plain:.3f}", f"{more:.3f}", f"{more / plain:.2f}x", f"{tokens:.2f}x")
            table.add_row(size, name, *cells)
    Console(width=100).print(table)


SIDES = {"dpo": None, "dpo + copo": partial(copo, alpha=0.01)}


def step(
    size: str, prompts: tuple[int, int], responses: tuple[int, int], pairs: int, side: str
) -> tuple[Callable[[], Any], int]:
    """A learning step on random pairs, and the tokens that it computes."""
    net = model(size, torch.device("cpu"))
    policy = TransformerPolicy(
        Loaded(net.train(), tokenizer(), torch.device("cpu"), 1024), precision="float32"
    )
    rows, samples = [], {}
    for i, tree in enumerate(trees(pairs, prompts, responses, 3)):
        prompt = Prompt(text=str(i), tokens=tree.prompt)
        a, b, extra = (
            Response(prompt=prompt, text=k, tokens=t, id=f"{i}.{k}")
            for k, t in zip("abc", tree.responses, strict=True)
        )
        rows.append(Preference(query=Query(prompt=prompt, a=a, b=b, id=str(i)), p=1.0))
        samples[str(i)] = ((extra, 1.0),)
    known = {f"{i}.{k}": -50.0 for i in range(pairs) for k in "abc"}
    facts = Facts(
        ref=known,
        drawn=known,
        novelty=dict.fromkeys(known, 0.5),
        samples=samples if SIDES[side] else {},
    )
    settings = Learn(lr=1e-9, batch=pairs, precision="float32")
    learner = Learner(policy, dpo, settings, SIDES[side])
    plan = Plan(batches=(tuple(range(pairs)),))
    run = lambda: list(learner.steps(rows, facts, plan))
    return run, run()[0].tokens


if __name__ == "__main__":
    main()
