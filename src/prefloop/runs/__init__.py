"""A run: one recipe, one folder, from the first sample to the report, restartable anywhere."""

from prefloop.runs.data import Given
from prefloop.runs.main import Result, run

__all__ = ["Given", "Result", "run"]
