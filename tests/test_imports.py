"""Imports go one way, every file can be imported, and what should start quickly does."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import prefloop

ROOT = Path(prefloop.__path__[0])
FILES = sorted(ROOT.rglob("*.py"))

LAYERS = (
    ("types", "rng", "whole"),
    ("batches", "plugins", "testbed"),
    ("config", "loop", "frozen"),
    ("losses", "bonuses", "explore", "novelty"),
    ("store", "generate", "oracles", "features", "engine", "measure", "annotate"),
    ("models", "clusters"),
    ("learn", "report"),
    ("theory", "recipes", "runs"),
    ("compare",),
    ("overoptimize", "rewarding"),
    ("cli",),
)
"""A file imports from its own package and from the lines above its own."""

ALLOWED = {
    ("plugins", "oracles"): "a user's function becomes an oracle where parts are built",
    ("oracles", "store"): "a reward model trained here reads a text in the tokens it learned from",
    ("oracles", "models"): "a policy's implicit reward is made of its log-probabilities",
}
ONLY = {"loop": {"types"}, "batches": {"types"}}
NEVER = {"theory": {"models", "generate", "store", "runs", "cli"}}
LIGHT = ("types", "rng", "whole", "plugins", "config", "loop", "frozen", "testbed")
LIGHT += ("explore", "clusters", "oracles", "store", "recipes", "report", "annotate", "cli")
HEAVY = ("torch", "transformers", "sklearn")
EXTRAS = {"openai", "tenacity", "gradio", "ray", "vllm", "tensorboard", "wandb", "bitsandbytes"}


def module(file: Path) -> str:
    parts = file.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def package(file: Path) -> str:
    """The part of prefloop that the file belongs to, "" for prefloop/__init__.py."""
    return [*module(file).split("."), ""][1]


def imported(source: str) -> Iterator[str]:
    """The parts of prefloop that a file imports, wherever in it it does."""
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            first, *rest = name.split(".")
            if first == "prefloop" and rest:
                yield rest[0]


def layer(part: str) -> int:
    for depth, parts in enumerate(LAYERS):
        if part in parts:
            return depth
    raise LookupError(f"{part} has no layer; give it one in tests/test_imports.py")


def wrong(part: str, source: str) -> list[str]:
    """What a file of that part may not import, but does."""
    found = {other for other in imported(source) if other != part}
    return sorted(
        other
        for other in found
        if (part, other) not in ALLOWED
        and (
            layer(other) >= layer(part)
            or other not in ONLY.get(part, found)
            or other in NEVER.get(part, ())
        )
    )


@pytest.mark.parametrize("file", FILES, ids=module)
def test_imports_go_one_way(file):
    if package(file):
        assert wrong(package(file), file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("part", "source", "found"),
    [
        ("losses", "from prefloop.models.logps import logps", ["models"]),
        ("losses", "from prefloop import oracles, batches", ["oracles"]),
        ("oracles", "def f():\n    import prefloop.runs.main", ["runs"]),
        ("store", "from prefloop.generate.text import x", ["generate"]),
        ("loop", "from prefloop.config import Config", ["config"]),
        ("theory", "from prefloop.store.ledger import Ledger", ["store"]),
        ("theory", "from prefloop.losses.dpo import dpo", []),
        ("runs", "from prefloop.learn.step import step\nimport torch", []),
    ],
)
def test_the_rule_notices(part, source, found):
    assert wrong(part, source) == found


@pytest.mark.parametrize("file", FILES, ids=module)
def test_every_file_can_be_imported(file):
    try:
        import_module(module(file))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in EXTRAS:
            raise
        pytest.skip(f"needs the extra {error.name}")


def first_to_import(heavy: tuple[str, ...], modules: list[str]) -> str:
    """The first of the modules that pulls in something heavy, by a fresh interpreter's account."""
    code = f"""
import sys
from importlib import import_module
for name in {modules!r}:
    import_module(name)
    if found := [h for h in {heavy!r} if h in sys.modules]:
        print(name, "imports", *found)
        break
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("part", LIGHT)
def test_importing_it_imports_nothing_heavy(part):
    modules = [module(file) for file in FILES if package(file) == part]
    if not modules:
        pytest.skip(f"there is no prefloop.{part} yet")
    heavy = (*HEAVY, "matplotlib") if part == "cli" else HEAVY
    assert first_to_import(heavy, modules) == ""


def test_something_heavy_would_be_noticed():
    assert (
        first_to_import(("torch",), ["json", "prefloop.batches"])
        == "prefloop.batches imports torch"
    )
