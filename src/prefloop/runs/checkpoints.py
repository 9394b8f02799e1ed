"""Checkpoints: trainable weights and optimizer moments as safetensors, whole or not at all."""

import json
import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from prefloop.config import Checkpoint as Settings
from prefloop.runs.folder import FolderError, writing


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Where learning stood: after a round, or between two of its steps."""

    round: int
    step: int
    """optimizer steps taken in the round; −1 when the round is done"""
    weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    detail: Mapping[str, Any]
    parts: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    """what else was learned, by name: a critic, a reward model under way, counts"""


class Checkpoints:
    """The checkpoints/ folder of a run, with its retention rule."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self.settings = settings

    def save(self, point: Checkpoint) -> None:
        """Write to the side, then rename: a kill leaves the old checkpoint or the new one."""
        target = self._path(point.round, partial=point.step >= 0)
        part = target.with_name(target.name + ".part")
        try:
            with writing(target):
                self._write(part, point)
        except FolderError:
            shutil.rmtree(part, ignore_errors=True)
            raise
        self._discard(target)
        part.rename(target)
        _sync(self.folder)

    def load(self, round: int) -> Checkpoint:
        """The checkpoint at the end of a round; FolderError if it is missing or damaged."""
        return self._read(self._path(round, partial=False))

    def load_partial(self, round: int) -> Checkpoint | None:
        """The restart point inside this round, None if there is none."""
        path = self._path(round, partial=True)
        return self._read(path) if path.exists() else None

    def drop_partial(self, round: int) -> None:
        """Forget the restart point of a round that is done."""
        self._discard(self._path(round, partial=True))

    def prune(self, *, last: int, best: int | None, needed: Collection[int] = ()) -> None:
        """Keep the newest `keep`, every `every`-th, the best and the needed; delete the rest.

        `last` is the last round that is over: what is newer is still needed. What a kill left
        half written or half deleted goes too.
        """
        over = [r for r in self.rounds() if r <= last]
        spaced = [r for r in over if r % self.settings.every == 0]
        kept = {*over[-1:], *spaced[-self.settings.keep :], best, *needed}
        for round in over:
            self.drop_partial(round)
            if round not in kept:
                self._discard(self._path(round, partial=False))
        for litter in [*self.folder.glob("*.part"), *self.folder.glob("*.doomed")]:
            shutil.rmtree(litter, ignore_errors=True)

    def rounds(self) -> list[int]:
        """The rounds that have a checkpoint, in order."""
        found = self.folder.glob("round-[0-9][0-9][0-9][0-9]")
        return sorted(int(path.name.removeprefix("round-")) for path in found)

    def _path(self, round: int, *, partial: bool) -> Path:
        return self.folder / f"round-{round:04d}{'-partial' if partial else ''}"

    def _discard(self, folder: Path) -> None:
        """Rename, then delete: a kill leaves no half of a checkpoint under its own name."""
        doomed = folder.with_name(folder.name + ".doomed")
        shutil.rmtree(doomed, ignore_errors=True)
        if folder.exists():
            folder.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)

    def _write(self, folder: Path, point: Checkpoint) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        files = {"weights.safetensors": point.weights, "optimizer.safetensors": point.optimizer}
        files |= {f"{name}.safetensors": part for name, part in point.parts.items() if part}
        for name, tensors in files.items():
            whole = {k: v.detach().contiguous().cpu().clone() for k, v in tensors.items()}
            save_file(whole, folder / name)
        manifest = {
            "round": point.round,
            "step": point.step,
            "detail": dict(point.detail),
            "sha256": {name: _digest(folder / name) for name in files},
        }
        (folder / "manifest.json").write_text(json.dumps(manifest))
        for path in (*folder.iterdir(), folder):
            _sync(path)

    def _read(self, folder: Path) -> Checkpoint:
        try:
            manifest = json.loads((folder / "manifest.json").read_text())
            for name, digest in manifest["sha256"].items():
                if _digest(folder / name) != digest:
                    raise ValueError(f"{name} does not match its checksum")
            return Checkpoint(
                round=manifest["round"],
                step=manifest["step"],
                weights=load_file(folder / "weights.safetensors"),
                optimizer=load_file(folder / "optimizer.safetensors"),
                detail=manifest["detail"],
                parts={
                    name.removesuffix(".safetensors"): load_file(folder / name)
                    for name in manifest["sha256"]
                    if name not in ("weights.safetensors", "optimizer.safetensors")
                },
            )
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise FolderError(
                f"the checkpoint {folder} cannot be used: {error}. Restore it from a copy; "
                "the labels in the ledger are safe and can be exported with `prefloop export`"
            ) from error


def _sync(path: Path) -> None:
    """Wait until a file, or a folder's list of files, is on the disk: a power cut keeps it."""
    if path.is_dir() and os.name == "nt":
        return  # Windows syncs no folders
    number = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        digest = sha256()
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def size_gb(folder: Path) -> float:
    """What a folder takes on disk, in GB (10⁹ bytes)."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e9
