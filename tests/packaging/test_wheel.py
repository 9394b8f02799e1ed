"""What is built installs, and holds everything that prefloop needs to run."""

import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

import prefloop

ROOT = Path(__file__).parents[2]
SOURCE = Path(prefloop.__path__[0])
SCRATCH = ("build", "dist", "runs")
PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".bin", ".joblib", ".npy", ".npz")
MEGABYTE = 1_000_000


def run(*command: str | Path, where: Path) -> str:
    """What the command prints; fails with what it complained about."""
    done = subprocess.run(
        [str(word) for word in command], cwd=where, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist, built from a copy of the sources."""
    folder = tmp_path_factory.mktemp("built")
    (folder / "copy").mkdir()
    scratch = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info")
    for entry in ROOT.iterdir():
        if entry.is_dir() and entry.name[0] != "." and entry.name not in SCRATCH:
            shutil.copytree(entry, folder / "copy" / entry.name, ignore=scratch)
        elif entry.is_file():
            shutil.copy(entry, folder / "copy")
    build = (sys.executable, "-m", "build", "--no-isolation", "--wheel", "--sdist")
    run(*build, "--outdir", folder, where=folder / "copy")
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def inside(wheel: Path) -> set[str]:
    """The names of the files in the wheel."""
    with zipfile.ZipFile(wheel) as file:
        return set(file.namelist())


def test_every_file_of_the_package_is_in_the_wheel(inside: set[str]) -> None:
    ours = {
        str(path.relative_to(SOURCE.parent))
        for path in SOURCE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert ours <= inside
    assert {name for name in inside if ".dist-info/" not in name} <= ours


@pytest.mark.parametrize(
    "name",
    [
        "testbed/model/model.safetensors",
        "testbed/model/tokenizer.json",
        "testbed/prompts.jsonl.gz",
        "testbed/gold.safetensors",
        "testbed/proxy.safetensors",
        "testbed/LICENSES.md",
        "report/page.html.j2",
        "report/page.css",
        "py.typed",
    ],
)
def test_the_wheel_holds(name: str, inside: set[str]) -> None:
    assert f"prefloop/{name}" in inside


def test_the_wheel_carries_its_licences(wheel: Path, inside: set[str]) -> None:
    licences = {name for name in inside if "/licenses/" in name}
    assert {Path(name).name for name in licences} == {"LICENSE", "LICENSES.md"}
    with zipfile.ZipFile(wheel) as file:
        metadata = file.read(next(name for name in inside if name.endswith("METADATA"))).decode()
    assert "License-Expression: Apache-2.0" in metadata
    pinned = re.findall(r"^Requires-Dist: [^;\n]*[<=]=?[^;\n]*$", metadata, re.MULTILINE)
    assert all(">=" in line and "<" not in line for line in pinned), "no upper pins"


def test_nothing_in_the_wheel_runs_code_when_it_is_loaded(inside: set[str]) -> None:
    assert not [name for name in inside if name.endswith(PICKLES)]


def test_what_is_built_is_small(built: Path, wheel: Path) -> None:
    source = next(built.glob("*.tar.gz"))
    assert wheel.stat().st_size < 12 * MEGABYTE
    assert source.stat().st_size < 25 * MEGABYTE
    with tarfile.open(source) as file:
        assert any(name.endswith("/LICENSE") for name in file.getnames())


def test_the_installed_wheel_works(wheel: Path, tmp_path: Path) -> None:
    """In an environment of its own, which sees this one's other packages."""
    run(sys.executable, "-m", "venv", "--without-pip", "venv", where=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--quiet", "--python", python, "install")
    run(*pip, "--no-deps", "--no-index", "--no-compile", wheel, where=tmp_path)
    site = Path(run(python, "-c", SITE, where=tmp_path).strip())
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")

    program = tmp_path / "venv" / "bin" / "prefloop"
    assert "sample → choose → ask → learn → measure" in " ".join(
        run(program, "--help", where=tmp_path).split()
    )
    assert "online_dpo" in run(program, "list", "recipes", where=tmp_path)
    assert run(python, "-c", TESTBED, where=tmp_path).strip() == str(site)


SITE = "import sysconfig; print(sysconfig.get_path('purelib'))"
TESTBED = """
from pathlib import Path
import prefloop
from prefloop.testbed import MODEL, PROMPTS, prompts
from prefloop.testbed.classifier import Classifier

assert (MODEL / "config.json").exists() and PROMPTS.exists()
assert prompts("train") and prompts("eval")
kind, unkind = Classifier.load("gold").log_odds(["a wonderful film", "a dreadful film"])
assert kind > unkind
print(Path(prefloop.__file__).parents[1])
"""
