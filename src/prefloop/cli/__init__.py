"""The command line. Nothing heavy is imported before a command needs it."""

from prefloop.cli import runs, comparing, generating, rewards, lab  # noqa: F401, I001 — as in --help
from prefloop.cli.app import app

__all__ = ["app"]
