"""Reward models on two files of human labels, each way of learning beside the same baselines.

Five folds by prompt. Every method chooses among six settings by likelihood within the first fold's
training prompts, on each quarter of them by the other three (the model from scratch on one quarter
only), then is trained on each fold's other four; the same pairs are asked of all, so differences
are paired, with 95 % intervals by drawing prompts anew. One thread. Run it from the repository,
with `pip install 'prefloop[encoder,eval]'`:

    .venv/bin/python benchmarks/reward_data.py
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch
from reward_methods import (
    Embedded,
    Linear,
    Longer,
    Method,
    Perceptron,
    Rows,
    Scratch,
    crossed_points,
    last_turn,
    surface,
    tfidf,
    tfidf_and_surface,
)
from rich.console import Console

from prefloop.compare.sheets import Sheet
from prefloop.measure.calibration import calibration, nll
from prefloop.measure.clustered import bootstrapped
from prefloop.measure.reward import accuracy, hits
from prefloop.rewarding.rows import comparisons, read
from prefloop.rng import key, stream
from prefloop.types import Preference

FILES = {
    "HH helpful-base": "data/preferences/hh_helpful_base_test.jsonl.gz",
    "FineGrained QA": "data/preferences/finegrained_qa_dev.jsonl.gz",
}
FOLDS = 5
BASELINE = "tf-idf"
SMALL = (1e-4, 1e-3, 1e-2, 0.03, 0.1, 1.0)
"""ridges for a dozen features"""


def methods(embedded: Embedded, rows: Rows, only: Sequence[str]) -> list[Method]:
    """All of them, or those whose names hold one of these words."""
    embeds = Linear("MiniLM, linear on the response", embedded.responses)
    every: list[Method] = [
        Longer(),
        Linear("surface features", surface, SMALL),
        Linear(BASELINE, tfidf),
        Linear("tf-idf and surface", tfidf_and_surface),
        embeds,
        Linear("MiniLM, linear with the prompt", embedded.crossed),
        Perceptron("MiniLM, one hidden layer", crossed_points(embedded)),
        Scratch(),
    ]
    chosen = [m for m in every if not only or any(word in m.name for word in only)]
    if any("MiniLM" in m.name for m in chosen):
        both = [r.text for p in rows for r in (p.query.a, p.query.b)]
        embedded.learn(both + [last_turn(p) for p in rows])
    return chosen


def out_of_fold(method: Method, rows: Rows, seed: int) -> tuple[np.ndarray, object]:
    """Margins of every pair by a model that has not seen its prompt, and the settings chosen."""
    fold = _drawn(rows, "fold", FOLDS, seed)
    choice = _chosen(method, [r for r, f in zip(rows, fold, strict=True) if f != 0], seed)
    margins = np.zeros(len(rows))
    for one in range(FOLDS):
        out = fold == one
        learned = [r for r, o in zip(rows, out, strict=True) if not o]
        asked = [r for r, o in zip(rows, out, strict=True) if o]
        margins[out] = method.margins(learned, asked, choice)
    return margins, choice


def _chosen(method: Method, rows: Rows, seed: int) -> object:
    """The setting with the best likelihood on quarters left out, one after the other."""
    quarter = _drawn(rows, "quarter", 4, seed)
    margins: dict[object, list[np.ndarray]] = {}
    labels = []
    for one in range(method.quarters):
        learned = [r for r, q in zip(rows, quarter, strict=True) if q != one]
        asked = [r for r, q in zip(rows, quarter, strict=True) if q == one]
        labels += [r.p for r in asked]
        for choice, found in method.tries(learned, asked).items():
            margins.setdefault(choice, []).append(found)
    return min(margins, key=lambda choice: nll(np.concatenate(margins[choice]), labels))


def _drawn(rows: Rows, name: str, parts: int, seed: int) -> np.ndarray:
    return np.array([key(seed, name, r.query.prompt.id) % parts for r in rows])


def sheet(
    title: str, rows: Rows, found: dict[str, np.ndarray], seconds: dict[str, float], seed: int
) -> Sheet:
    """Accuracy, the paired difference to tf-idf, and calibration."""
    p = np.array([r.p for r in rows])
    prompts = np.array([r.query.prompt.id for r in rows])
    lines = []
    for name, margin in found.items():
        right = accuracy(margin, p, prompts)
        fit = calibration(margin, p)
        lines.append(
            [
                name,
                f"{right.value:.3f} ({right.low:.3f} to {right.high:.3f})",
                _beyond(BASELINE, name, found, rows, seed),
                "" if name.startswith("the longer") else f"{fit.nll:.3f}",
                "" if name.startswith("the longer") else f"{fit.ece:.3f}",
                f"{seconds[name]:.0f}",
            ]
        )
    head = ("method", "accuracy", f"− {BASELINE}", "nll", "ECE", "CPU s")
    return Sheet(title=title, head=head, rows=lines)


def _beyond(other: str, name: str, found: dict[str, np.ndarray], rows: Rows, seed: int) -> str:
    """How much more often it is right than another, on the same decided pairs."""
    if other not in found or name == other:
        return ""
    p = np.array([r.p for r in rows])
    prompts = np.array([r.query.prompt.id for r in rows])
    gain = (hits(found[name], p) - hits(found[other], p))[p != 0.5]
    drawn = bootstrapped(gain, prompts[p != 0.5], stream(seed, "bootstrap"), draws=4000)
    return f"{drawn.value:+.3f} ({drawn.low:+.3f} to {drawn.high:+.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], help="methods with these words in them")
    parser.add_argument("--data", choices=[*FILES], help="one of the files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, help="where embeddings are kept, FILE.npz")
    parser.add_argument("--out", type=Path, help="a JSON file with the margins")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    embedded, written = Embedded(asked.cache), {}
    for title, path in FILES.items():
        if asked.data not in (None, title):
            continue
        rows: list[Preference] = comparisons(read(path))
        found, seconds = {}, {}
        for method in methods(embedded, rows, asked.only):
            begun = time.process_time()
            found[method.name], choice = out_of_fold(method, rows, asked.seed)
            seconds[method.name] = time.process_time() - begun
            print(f"{title}: {method.name}, {choice}, {seconds[method.name]:.0f} s", flush=True)
        Console(width=140).print(sheet(title, rows, found, seconds, asked.seed).console())
        print(sheet(title, rows, found, seconds, asked.seed).markdown(), flush=True)
        written[title] = {name: margin.tolist() for name, margin in found.items()}
        if asked.out:
            asked.out.write_text(json.dumps(written), encoding="utf-8")


if __name__ == "__main__":
    main()
