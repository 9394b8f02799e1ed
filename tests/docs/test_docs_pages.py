"""The pages agree with the code and with each other."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import made_tables
import pytest
from handbook import DOCS, PAGES, README, ROOT, blocks, name, prose

from prefloop import plugins
from prefloop.config import Config
from prefloop.runs.folder import FREE
from prefloop.runs.main import NAMES
from prefloop.store.importing import FORMATS

METHODS = sorted(path.stem for path in (DOCS / "methods").glob("*.md"))
HEADINGS = (
    "What it does",
    "What it minimises",
    "When to use it",
    "What published code gets wrong",
    "Settings",
    "Try it",
)


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def test_the_readme_is_short() -> None:
    assert len(text(README).splitlines()) < 150


def test_every_loss_and_every_recipe_has_a_page_and_no_page_is_about_nothing() -> None:
    assert sorted({*plugins.names("losses"), *plugins.names("recipes")}) == METHODS


@pytest.mark.parametrize("method", METHODS)
class TestMethodPage:
    def test_it_says_the_same_things_in_the_same_order(self, method: str) -> None:
        page = text(DOCS / "methods" / f"{method}.md")
        assert page.startswith(f"# `{method}` — ")
        assert re.findall(r"^## (.*)$", page, re.MULTILINE) == list(HEADINGS)

    def test_it_names_every_option(self, method: str) -> None:
        page = text(DOCS / "methods" / f"{method}.md")
        if method in plugins.names("losses"):
            options = plugins.card("losses", method).options
            assert all(
                f"`{option}` ({default.lower()})" in page for option, default in options.items()
            )

    def test_its_last_command_uses_it(self, method: str) -> None:
        last = [b for b in blocks(DOCS / "methods" / f"{method}.md") if b.language == "sh"][-1]
        assert re.search(rf"\b{method}\b", last.commands[0])

    def test_it_names_its_paper(self, method: str) -> None:
        page = text(DOCS / "methods" / f"{method}.md")
        assert re.search(r"arXiv:\d{4}\.\d{5}", page) or method == "sft"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if not target.startswith("http"):
            file, _, anchor = target.partition("#")
            found = (page.parent / file).resolve() if file else page
            assert found.exists(), target
            assert not anchor or anchor in _anchors(found), target


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", text(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_page_can_be_found_from_the_index() -> None:
    index = text(DOCS / "index.md")
    for page in DOCS.rglob("*.md"):
        if page.name != "index.md":
            assert f"({page.relative_to(DOCS)})" in index


def test_tables_made_from_the_code_are_up_to_date() -> None:
    stale = list(made_tables.outdated())
    assert not stale, "run `python tests/docs/made_tables.py`"


@pytest.mark.parametrize("page", [p for p in PAGES if p.stem != "glossary"], ids=name)
def test_settings_that_are_named_exist(page: Path) -> None:
    for section, key in re.findall(r"(?<![\w./])([a-z]+)\.([a-z]\w*)(?![\w/])", text(page)):
        kind: Any = Config.model_fields[section].annotation if section in Config.model_fields else 0
        if hasattr(kind, "model_fields") and key != "py":
            assert key in kind.model_fields, f"{section}.{key}"


def test_the_glossary_speaks_the_language_of_the_code() -> None:
    rows = re.findall(r"^\| ([^|]+) \| `([\w.]+)` \|", text(DOCS / "glossary.md"), re.MULTILINE)
    assert len(rows) > 40
    for word, path in rows:
        assert _exists(path), f"{word}: there is no prefloop.{path}"


def _exists(path: str) -> bool:
    """Is there a module, and in it such a name, or a field of that name?"""
    thing: Any = import_module("prefloop")
    for part in path.split("."):
        fields = {**getattr(thing, "__annotations__", {}), **getattr(thing, "model_fields", {})}
        if hasattr(thing, part):
            thing = getattr(thing, part)
        elif part in fields:
            thing = fields[part]
        else:
            try:
                thing = import_module(f"{thing.__name__}.{part}")
            except (ImportError, AttributeError):
                return False
    return True


def test_metrics_that_every_line_has_are_described() -> None:
    page = text(DOCS / "run-folder.md")
    assert all(f"`{metric}`" in page for metric in NAMES)


def test_what_may_change_in_a_continued_run_is_said() -> None:
    for page in ("run-folder.md", "settings.md"):
        assert all(f"`{setting}`" in text(DOCS / page) for setting in FREE)


def test_every_data_format_is_named() -> None:
    assert all(f"| {kind} |" in text(DOCS / "your-own.md") for kind in FORMATS)


def test_no_page_names_a_place_on_the_machine_it_was_written_on() -> None:
    for page in [*PAGES, ROOT / "Makefile", ROOT / "constraints.txt", ROOT / ".ci" / "run"]:
        assert not re.search(r"(?<![\w.])/(work|home|root|tmp|opt)/", text(page)), page
