"""The most memory that a run has held at once."""

import re
from pathlib import Path

import pytest
import torch

import small
from prefloop.runs.memory import peak_gb
from prefloop.runs.watch import Silent

STATUS = Path("/proc/self/status")


@pytest.mark.skipif(not STATUS.exists(), reason="only Linux says so in two places")
def test_it_is_what_the_kernel_says() -> None:
    """VmHWM, the high water mark, which a larger parent may raise."""
    found = peak_gb(torch.device("cpu"))
    (kibibytes,) = re.findall(r"VmHWM:\s+(\d+) kB", STATUS.read_text())
    assert found is not None
    assert 0.98 <= found / (int(kibibytes) * 1024 / 1e9) < 100


class Noting(Silent):
    """Somebody who keeps what a run says."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def test_every_round_and_the_end_say_it(model: str, tmp_path: Path) -> None:
    watch = Noting()
    found = small.small_run(model, tmp_path / "run", {"rounds": 1}, watch=watch)
    first, last = (line["memory_gb"] for line in found.metrics)
    assert 0 < first <= last
    (said,) = [text for text in watch.said if "memory" in text]
    assert float(said.split()[-2]) == pytest.approx(last, rel=0.2)
