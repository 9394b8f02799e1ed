"""What counting costs: microseconds a response, and how that grows with the features' dimension.

The measure is process CPU time with one thread. An update is timed over a whole period of the
covariance, from one inversion to the next, in rounds of 256 responses. Run it from the repository:

    .venv/bin/python benchmarks/novelty.py
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from functools import partial

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from prefloop.config import Model
from prefloop.features.lsa import Lsa
from prefloop.models.load import load
from prefloop.models.states import last_states
from prefloop.models.transformer import TransformerPolicy
from prefloop.novelty._precision import REFRESH
from prefloop.novelty.coin_flip import CoinFlip
from prefloop.novelty.elliptical import Elliptical
from prefloop.store.text import Encoder
from prefloop.testbed import prompts
from prefloop.types import Novelty, Prompt, Response, SamplingSettings

ROUND = 256
DIMENSIONS = (256, 1024, 4096)
PARTS: dict[str, Callable[[], Novelty]] = {"elliptical": Elliptical, "coin_flip": CoinFlip}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--dimensions", type=int, nargs="+", default=list(DIMENSIONS))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(width=120)
    console.print(growth_table(asked.dimensions))
    console.print(share_table())


def seconds(work: Callable[[], object]) -> float:
    """CPU time of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def units(count: int, width: int, seed: int) -> np.ndarray:
    """Random unit rows, as the whitener makes them."""
    rows = np.random.default_rng(seed).normal(size=(count, width))
    found: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found


def costs(part: Novelty, width: int) -> tuple[float, float]:
    """Seconds a response: to count it, and to score it."""
    period = max(REFRESH, width) + ROUND
    part.fit(units(ROUND, width, 0))
    rounds = [units(ROUND, width, seed) for seed in range(1, period // ROUND)]
    update = sum(seconds(partial(part.fit, rows)) for rows in rounds)
    best = min(seconds(lambda: part.score(rounds[0])) for _ in range(5))
    return update / (ROUND * len(rounds)), best / ROUND


def growth_table(dimensions: Sequence[int]) -> Table:
    """Microseconds by dimension, with the exponent of their growth: 2 is O(d²)."""
    table = Table(title="microseconds a response, by the dimension of its features")
    for column in ("part", "what", *map(str, dimensions), "exponent"):
        table.add_column(column)
    for name, make in PARTS.items():
        found = np.array([costs(make(), width) for width in dimensions])
        for what, row in zip(("update", "score"), found.T, strict=True):
            exponent = np.polyfit(np.log(dimensions), np.log(row), 1)[0]
            table.add_row(name, what, *(f"{1e6 * x:.1f}" for x in row), f"{exponent:.2f}")
    return table


def drawn(policy: TransformerPolicy, count: int) -> list[Response]:
    """Responses of the testbed's model to as many of its prompts."""
    encoder = Encoder(policy.loaded.tokenizer, context=policy.loaded.context)
    rows = [encoder.encode(Prompt(text=text)) for text in prompts("train")[:count]]
    asked = [row[0] for row in rows if row]
    settings = SamplingSettings(top_p=0.95, max_new_tokens=40)
    found = policy.sample(asked, n=1, settings=settings, rng=np.random.default_rng(0))
    return [response for (response,) in found]


def share_table() -> Table:
    """What features and scores cost beside drawing the responses that they are of."""
    policy = TransformerPolicy(load(Model(path="testbed", device="cpu")))
    drawn(policy, 8)
    found: list[Response] = []
    draw = seconds(lambda: found.extend(drawn(policy, ROUND)))
    lsa, flips, lifted = Lsa(), CoinFlip(), CoinFlip(lift=4096)
    rows = units(ROUND, 192, 0)
    lsa.features(found)
    for part in (flips, lifted):
        part.fit(rows)
    table = Table(title="beside drawing a response from the testbed's model")
    for column in ("what", "us a response", "share of drawing"):
        table.add_column(column)
    table.add_row("draw", f"{1e6 * draw / ROUND:.0f}", "")
    works: dict[str, Callable[[], object]] = {
        "lsa features": lambda: lsa.features(found),
        "hidden features": lambda: last_states(policy, found),
        "coin_flip score": lambda: flips.score(rows),
        "coin_flip score, lift=4096": lambda: lifted.score(rows),
    }
    for name, work in works.items():
        best = min(seconds(work) for _ in range(5))
        table.add_row(name, f"{1e6 * best / ROUND:.1f}", f"{best / draw:.2%}")
    return table


if __name__ == "__main__":
    main()
