"""How much memory a run has taken."""

import sys

import torch


def peak_gb(device: torch.device) -> float | None:
    """The most that this process has held at once so far, in GB; None where nobody counts.

    On CUDA that is the GPU's memory in tensors, else the machine's.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    if sys.platform == "win32":
        return None
    from resource import RUSAGE_SELF, getrusage

    unit = 1 if sys.platform == "darwin" else 1024
    return getrusage(RUSAGE_SELF).ru_maxrss * unit / 1e9
