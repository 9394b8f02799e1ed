"""The run folder: who holds it, what it was started with, and what people read in it."""

import json
import logging
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout
from safetensors import SafetensorError

from prefloop import whole
from prefloop.config import Config, ConfigError

FREE = (
    *("rounds", "checkpoint", "limits", "track", "measure.examples", "model.threads"),
    *("ask.retries", "ask.max_missing"),
)
"""settings that may change when a run is continued: none of them changes a committed number"""

log = logging.getLogger("prefloop")


class FolderError(RuntimeError):
    """A run folder that cannot be used: says which, why and what to do."""


class RunFolder:
    """A run's folder, held by one writer at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ledger = path / "ledger.sqlite"
        self.config = path / "config.yaml"
        self.metrics = path / "metrics.jsonl"
        self.checkpoints = path / "checkpoints"
        self.rewards = path / "rewards"
        self.policy = path / "policy"
        self.best = path / "best"
        self.report = path / "report.html"
        self._lock = FileLock(path / ".lock")

    def hold(self) -> None:
        """Make the folder, take its one writer's place, and log to its log.txt."""
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
            (self.path / ".holder").write_text(str(os.getpid()))
            handler = logging.FileHandler(self.path / "log.txt", encoding="utf-8")
        except Timeout:
            holder = self.path / ".holder"
            pid = holder.read_text() if holder.exists() else "unknown"
            raise FolderError(
                f"{self.path} is in use by another prefloop run (process {pid}); wait for it, "
                "or choose another folder with --out"
            ) from None
        except OSError as error:
            self._lock.release()
            raise FolderError(
                f"cannot write to {self.path}: {error.strerror}; choose another folder with --out"
            ) from error
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        self._handler = handler

    def release(self) -> None:
        """Give the folder back."""
        log.removeHandler(self._handler)
        self._handler.close()
        self._lock.release()

    def refuse_changes(self, config: Config) -> None:
        """ConfigError if this run was started with settings that decide other numbers."""
        refuse_changes(self._written(), config.model_dump(mode="json"), self.path)

    @property
    def status(self) -> str:
        """finished, stopped or limit as the run left it; running, or interrupted where none is."""
        left = self.path / "status"
        found = left.read_text().strip() if left.exists() else "running"
        if found != "running":
            return found
        try:
            with self._lock.acquire(timeout=0):
                return "interrupted"
        except Timeout:
            return "running"

    def leave(self, status: str) -> None:
        """Write how the run ended, for whoever reads the folder next."""
        self.write(self.path / "status", status + "\n")

    def describe(self, config: Config) -> None:
        """Write what the run is: its resolved config and the versions it runs under."""
        self.leave("running")
        self.write(self.config, config.yaml())
        self.write(self.path / "versions.json", json.dumps(versions(), indent=2))

    def write(self, path: Path, text: str) -> None:
        """Replace a file as a whole: a reader sees the old text or the new one."""
        with writing(path):
            whole.write(path, text)

    def write_metrics(self, rounds: Sequence[Mapping[str, Any]]) -> None:
        """metrics.jsonl, made anew from what the ledger holds."""
        lines = [json.dumps(metrics, ensure_ascii=False) for metrics in rounds]
        self.write(self.metrics, "\n".join(lines) + "\n")

    def _written(self) -> dict[str, Any]:
        try:
            tree = yaml.safe_load(self.config.read_text(encoding="utf-8"))
            if not isinstance(tree, dict):
                raise ValueError("it holds no settings")
            return tree
        except (OSError, ValueError, yaml.YAMLError) as error:
            reason = str(error).split("\n")[0]
            raise FolderError(
                f"{self.config} is damaged ({reason}), so it cannot be told whether the settings "
                "are the ones this run was started with; restore it from a copy"
            ) from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What stops a file from being written, said with its name and the remedy."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise FolderError(
            f"cannot write {path}: {error}; all that was committed is safe. Free some space, then "
            "run the same command again"
        ) from error


def versions() -> dict[str, str]:
    """The versions that decide a run's numbers."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in ("prefloop", "torch", "transformers", "peft", "numpy", "safetensors"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def refuse_changes(old: Mapping[str, Any], new: Mapping[str, Any], path: Path) -> None:
    """ConfigError that names every setting that differs and may not."""
    before, after = _flat(old), _flat(new)
    changed = [
        f"  {key}: was {before.get(key)!r}, now {after.get(key)!r}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and not key.startswith(FREE)
    ]
    if changed:
        raise ConfigError(
            f"{path} was started with other settings:\n" + "\n".join(changed) + "\n"
            "put them back to continue this run, or start another with --out"
        )


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
