"""prefloop's learner and generation beside TRL's trainers and Hugging Face's `generate`.

Same model, same data, same tokens, in one process: the variants take turns, and the fastest of
their rounds counts. On a CPU the measure is process CPU time with one thread, which other work on
the machine hardly moves; `--wall` takes the clock on the wall. Run it from the repository:

    .venv/bin/python benchmarks/learner.py
"""

import argparse
import gc
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from cases import Case, four_responses, model, ragged_pairs
from generators import huggingface_draws, network, prefloop_draws, prompts
from learners import prefloop_step, trl_dpo_step, trl_online_step
from rich.console import Console
from rich.table import Table

LEARNER_TARGETS = {"ragged pairs": 1.5, "4 responses to 200 tokens": 2.0}
LEARNER_COLUMNS = (
    "peer",
    "reference",
    "precision",
    "TRL s",
    "prefloop s",
    "ratio",
    "loss TRL",
    "loss ours",
)


def main() -> None:
    """Run what was asked for and print the tables."""
    settings = arguments()
    quieten()
    torch.set_num_threads(settings.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    clock = time.perf_counter if settings.wall or device.type == "cuda" else time.process_time
    time_it = lambda step: timed(step, clock, device)
    console = Console(width=120)
    console.print(
        f"{device.type}, {settings.threads} thread(s), "
        f"{'wall' if clock is time.perf_counter else 'CPU'} seconds, best of {settings.rounds}; "
        f"gradient checkpointing {'on' if settings.checkpointing else 'off'} for everyone"
    )
    peak = peak_flops(device) if device.type == "cuda" else None
    if "learner" in settings.only:
        for case in (ragged_pairs(), four_responses("3M"), four_responses("31M")):
            console.print(learner_table(case, device, settings, time_it, peak))
    if "generation" in settings.only:
        console.print(generation_table(device, settings, time_it))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--wall", action="store_true", help="wall clock instead of CPU time")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--checkpointing", action="store_true", help="gradient checkpointing")
    parser.add_argument(
        "--only", nargs="+", default=["learner", "generation"], choices=["learner", "generation"]
    )
    return parser.parse_args()


def quieten() -> None:
    """TRL's and transformers' advice about toy settings is not what is measured."""
    warnings.filterwarnings("ignore")
    for name in ("transformers", "trl", "accelerate"):
        logging.getLogger(name).setLevel(logging.ERROR)


def timed(step: Callable[[], Any], clock: Callable[[], float], device: torch.device) -> float:
    """Seconds of one call, all of the device's work included."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    start = clock()
    step()
    wait()
    return clock() - start


def race(
    contenders: dict[str, Callable[[], Any]], rounds: int, time_it: Callable[[Any], float]
) -> dict[str, float]:
    """The fastest round of each, taking turns after one that does not count."""
    for step in contenders.values():
        step()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, step in contenders.items():
            times[name].append(time_it(step))
    return {name: min(found) for name, found in times.items()}


def learner_table(
    case: Case,
    device: torch.device,
    settings: argparse.Namespace,
    time_it: Callable[[Any], float],
    peak: float | None,
) -> Table:
    """Seconds a step for TRL and prefloop, in both precisions, against both trainers."""
    table = Table(title=f"{case.size}, {case.name}: target {LEARNER_TARGETS[case.name]}x")
    for column in LEARNER_COLUMNS + ("tokens/s", "share of peak") * bool(peak):
        table.add_column(column)
    flops = 6 * parameters(case)
    with tempfile.TemporaryDirectory() as folder:
        for low in (True, False):
            for peer in ("DPOTrainer", "OnlineDPOTrainer"):
                steps = learner_steps(peer, case, device, Path(folder), low, settings.checkpointing)
                best = race(steps, settings.rounds, time_it)
                losses = [steps[name]() for name in ("TRL", "prefloop")]
                row = learner_row(peer, low, best, losses)
                if peak:
                    rate = case.sequence_tokens / best["prefloop"]
                    row += [f"{rate:.0f}", f"{flops * rate / peak:.1%}"]
                table.add_row(*row)
                del steps
                gc.collect()  # a trainer is a cycle, and holds its model
    return table


def learner_row(peer: str, low: bool, best: dict[str, float], losses: Sequence[float]) -> list[str]:
    """One line of the table, for a peer in a precision."""
    return [
        peer,
        "cached" if peer == "DPOTrainer" else "each step",
        "bf16" if low else "fp32",
        f"{best['TRL']:.3f}",
        f"{best['prefloop']:.3f}",
        f"{best['TRL'] / best['prefloop']:.2f}x",
        *(f"{loss:.5f}" for loss in losses),
    ]


def learner_steps(
    peer: str, case: Case, device: torch.device, folder: Path, low: bool, checkpointing: bool
) -> dict[str, Callable[[], float]]:
    """TRL's step and ours on equal terms: who caches the reference, who checkpoints."""
    online = peer == "OnlineDPOTrainer"
    trl_step = trl_online_step if online else trl_dpo_step
    return {
        "TRL": trl_step(case, device, folder, low=low, checkpointing=checkpointing),
        "prefloop": prefloop_step(
            case, device, low=low, reference=online, checkpointing=checkpointing
        ),
    }


def generation_table(
    device: torch.device, settings: argparse.Namespace, time_it: Callable[[Any], float]
) -> Table:
    """Microseconds a token for `generate` and prefloop, in the same dtype."""
    table = Table(title="generation: 64 new tokens; targets 1.1x distinct, 1.4x four samples")
    for column in ("model", "prompts", "samples", "precision", "HF us/token", "ours", "ratio"):
        table.add_column(column)
    for size in ("3M", "31M"):
        for dtype in (torch.float32, torch.bfloat16):
            net = network(size, device, dtype)
            for distinct, samples, lengths in ((32, 1, (32, 64)), (8, 4, (180, 220))):
                texts = prompts(distinct, lengths)
                ours = prefloop_draws(net, texts, samples)
                theirs = huggingface_draws(net, texts, samples)
                best = race({"HF": theirs, "prefloop": ours}, settings.rounds, time_it)
                each = {"HF": best["HF"] / theirs(), "prefloop": best["prefloop"] / ours()}
                table.add_row(
                    size,
                    f"{distinct} of {lengths[0]} to {lengths[1]} tokens",
                    str(samples),
                    str(dtype).removeprefix("torch."),
                    f"{1e6 * each['HF']:.0f}",
                    f"{1e6 * each['prefloop']:.0f}",
                    f"{each['HF'] / each['prefloop']:.2f}x",
                )
    return table


def parameters(case: Case) -> int:
    """How many weights the case's model has."""
    return sum(p.numel() for p in model(case.size, torch.device("cpu")).parameters())


def peak_flops(device: torch.device) -> float:
    """What the device reaches on a large bfloat16 product."""
    a = torch.randn(8192, 8192, device=device, dtype=torch.bfloat16)
    seconds = race({"": lambda: a @ a}, 10, lambda step: timed(step, time.perf_counter, device))
    return float(2 * 8192**3 / seconds[""])


if __name__ == "__main__":
    main()
