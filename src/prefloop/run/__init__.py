"""A run: one recipe, one folder, from the first sample to the report, restartable anywhere."""

from prefloop.run.data import Given
from prefloop.run.main import Result, run

__all__ = ["Given", "Result", "run"]
