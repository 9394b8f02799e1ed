"""One small model for all recipes."""

import pytest

import small


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tiny random language model."""
    return small.llama(tmp_path_factory.mktemp("models") / "llama")
