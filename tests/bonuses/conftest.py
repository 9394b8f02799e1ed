"""Everything here is computed in double precision."""

import pytest


@pytest.fixture(autouse=True)
def _double_precision(float64: None) -> None:
    pass
