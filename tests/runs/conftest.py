"""One small model, and one run of it that nothing disturbed, for all tests of this folder."""

from pathlib import Path

import pytest

import small


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tiny random language model."""
    return small.llama(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="session")
def undisturbed(model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small run that was left alone from the first sample to the report."""
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    assert small.elsewhere(small.small_run, model, folder) == 0
    return folder
