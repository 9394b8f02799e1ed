"""Every command and every Python block of the README and the docs runs as it is written."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import reader
from handbook import PAGES, README, ROOT, blocks, name

LANGUAGES = ("sh", "bash", "python", "yaml")
WITH_BLOCKS = [page for page in PAGES if any(b.language in LANGUAGES for b in blocks(page))]


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("furnished")
    reader.furnish(folder)
    return folder


@pytest.fixture
def desk(
    furnished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, Any]]:
    """A working directory with the pages' files, and an empty Python session in it."""
    for file in furnished.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "my_oracle.py").unlink()
    (tmp_path / "my_oracle.py").write_text(reader.ORACLE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    before = set(sys.modules)
    yield {"__name__": "__main__"}
    for module in set(sys.modules) - before:
        if "my_" in module:
            del sys.modules[module]


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=name)
def test_a_reader_can_do_what_the_page_says(page: Path, desk: dict[str, Any]) -> None:
    for block in blocks(page):
        reader.follow(block, desk)


def test_the_metrics_page_knows_every_metric_of_a_run(desk: dict[str, Any]) -> None:
    """Online with gold, proxy and a judge, and offline with held-out labels: all there is."""
    from prefloop import run

    online = {
        **reader.SMALL,
        "model.path": "my-model",
        "data.prompts": "prompts.jsonl",
        "rounds": 1,
        "ask.oracle": "my_oracle:prefer",
        "explore.scorer": "my_oracle:score",
        "measure.gold": "my_oracle:score",
        "measure.judges": ["vader"],
    }
    offline = {**reader.SMALL, "model.path": "my-model", "data.preferences": "pairs.jsonl"}
    run("online_dpo", "online", online)
    run("dpo", "offline", offline)
    lines = [line for run in ("online", "offline") for line in _lines(Path(run))]
    page = (ROOT / "docs" / "run-folder.md").read_text(encoding="utf-8")
    unknown = {key for line in lines for key in line if f"`{key}`" not in page}
    assert not unknown, "say what these are in docs/run-folder.md"
    left = {file.name for file in Path("offline").iterdir() if not file.name.startswith(".")}
    assert not {file for file in left if f"`{file}" not in page}


def _lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_what_is_not_run_here_is_run_by_the_makefile_or_is_this() -> None:
    made = (ROOT / "Makefile").read_text()
    for command in reader.ELSEWHERE:
        assert f"\n{command.removeprefix('make ')}:" in made
    assert any(c in reader.ELSEWHERE for b in blocks(README) for c in b.commands)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
