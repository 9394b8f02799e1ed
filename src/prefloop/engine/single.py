"""One process, one device."""

import os

import torch


def settle_threads(asked: int | None) -> int:
    """Set OpenMP threads: what was asked for, else OMP_NUM_THREADS, else one per usable core.

    Always set explicitly: two busy processes that each take every core collapse.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = asked or int(os.environ.get("OMP_NUM_THREADS") or usable or 1)
    torch.set_num_threads(threads)
    return threads
