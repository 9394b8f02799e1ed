"""No network, one thread, the same random examples every time."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from collections.abc import Iterator

import hypothesis
import pytest
import torch

torch.set_num_threads(1)
hypothesis.settings.register_profile("prefloop", derandomize=True, deadline=None)
hypothesis.settings.load_profile("prefloop")


@pytest.fixture
def float64() -> Iterator[None]:
    """New tensors are in double precision, so that tolerances can be tight."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)
