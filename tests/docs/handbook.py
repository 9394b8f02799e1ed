"""The documentation as data: its pages, their code blocks, and the tables made from the code."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = [README, *sorted(DOCS.rglob("*.md"))]

_FENCE = re.compile(r"^```(\w+)?(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block of a page. One with a title is the file of that name."""

    page: Path
    line: int
    language: str
    title: str
    text: str

    @property
    def place(self) -> str:
        """Where it stands: `docs/your-own.md:12`."""
        return f"{name(self.page)}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """A shell block's commands: continued lines joined, comments left out."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def name(page: Path) -> str:
    """The page as a reader would call it."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> Iterator[Block]:
    """The page's fenced blocks, in order."""
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        language, title, inside = found.groups(default="")
        line = text.count("\n", 0, found.start()) + 1
        yield Block(page=page, line=line, language=language, title=title, text=inside)


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def made_from_code(page: Path) -> dict[str, str]:
    """What stands between `<!-- begin NAME -->` and `<!-- end NAME -->`, by name."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"<!-- begin ([\w-]+) -->\n(.*?)<!-- end \1 -->", text, re.DOTALL)
    return dict(found)
