"""Kill a small run again and again at random moments, and see that nothing is lost or done twice.

    python scripts/kill_loop.py --kills 200 --seed 0 --out runs/kill_loop

Every kill is a SIGKILL from outside, at a moment drawn uniformly from the time that a whole run
takes. A run is continued until it ends, compared with one that was left alone (weights bit for bit,
every response, question and answer), and begun anew until there were enough kills.
"""

import argparse
import sys
from pathlib import Path
from time import monotonic

import numpy as np

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path.insert(0, str(TESTS))

import accounts  # noqa: E402
import small  # noqa: E402


def main() -> int:
    """Kill as often as asked; the exit code says whether all was well."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/kill_loop"))
    options = parser.parse_args()
    if options.out.exists() and any(options.out.iterdir()):
        parser.error(f"{options.out} is not empty; give --out a new folder")
    return 1 if loop(options.kills, options.seed, options.out) else 0


def loop(kills: int, seed: int, out: Path) -> int:
    """The number of runs that did not end as the undisturbed one."""
    rng = np.random.default_rng(seed)
    model = small.llama(out / "model")
    whole = out / "undisturbed"
    small.elsewhere(small.small_run, model, whole)
    began = monotonic()
    small.elsewhere(small.small_run, model, out / "timed")
    seconds = monotonic() - began
    left, runs, wrong = kills, 0, 0
    while left > 0:
        folder = out / f"run-{runs:03d}"
        restart_points = 1 if runs % 2 else None
        made = disturb(model, folder, left, seconds, rng, restart_points)
        left, runs = left - made, runs + 1
        fault = difference(folder, whole, made)
        wrong += fault is not None
        print(f"{folder.name}: {made:3} kills, {fault or 'as if undisturbed'}", flush=True)
    print(f"{'WRONG' if wrong else 'GOOD'}: {wrong} of {runs} runs differ after {kills} kills")
    return wrong


def disturb(
    model: str,
    folder: Path,
    most: int,
    seconds: float,
    rng: np.random.Generator,
    restart_points: int | None,
) -> int:
    """Run to the end in spite of at most so many kills; how many there were."""
    made = 0
    settings = {"checkpoint.steps": restart_points}
    while True:
        process = small.begun(small.small_run, model, folder, settings)
        process.join(float(rng.uniform(0, seconds)) if made < most else None)
        if not process.is_alive():
            return made
        process.kill()
        process.join()
        made += 1


def difference(folder: Path, whole: Path, kills: int) -> str | None:
    """What is not as it should be after so many kills."""
    try:
        accounts.same(folder, whole)
    except (AssertionError, OSError) as error:
        return str(error).split("\n")[0]
    again = accounts.twice(small.Clerk(book=folder.with_suffix(".asked")).asked())
    more = sum(again.values()) - len(again)
    return f"{more} questions asked again after {kills} kills" if more > kills else None


if __name__ == "__main__":
    sys.exit(main())
