"""The tables of the documentation that are made from the code.

`python tests/docs/made_tables.py` writes them into the pages, between `<!-- begin NAME -->` and
`<!-- end NAME -->`; a test says when one is out of date.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, get_args, get_origin
from unittest.mock import patch

from handbook import PAGES, made_from_code

from prefloop import plugins
from prefloop.config import Config, Part, Section, parse
from prefloop.measure import health
from prefloop.runs.main import NAMES
from prefloop.runs.open import phases_of
from prefloop.store.importing import FORMATS

Rows = Sequence[Sequence[str]]


def table(head: Sequence[str], rows: Rows) -> str:
    """A Markdown table; a bar inside a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in r) + " |\n" for r in lines
    )


def parts(kind: str) -> str:
    """Every plug-in of a kind: name, first line, and options where the kind has any."""
    if not plugins.names(kind):
        return ""
    rows = [_part(kind, name) for name in plugins.names(kind)]
    width = 3 if any(options for _, _, options in rows) else 2
    return table(("name", "what it is", "options")[:width], [row[:width] for row in rows])


def _part(kind: str, name: str) -> tuple[str, str, str]:
    card = plugins.card(kind, name)
    named = f"`{name}`" + "".join(f", `{alias}`" for alias in card.aliases)
    options = ", ".join(f"`{o}={d}`" if d else f"`{o}`" for o, d in card.options.items())
    return named, card.summary, options


def settings() -> str:
    """Every section of the config with its settings."""
    top = [_setting(name, Config) for name in Config.model_fields if not _section(name)]
    found = [
        "### The run itself\n\n" + table(("setting", "values", "default", "what it says"), top)
    ]
    for name in filter(_section, Config.model_fields):
        section: Any = Config.model_fields[name].annotation
        rows = [_setting(key, section) for key in section.model_fields]
        about = " ".join((section.__doc__ or "").split())
        head = ("setting", "values", "default", "what it says")
        found.append(f"### `{name}`\n\n{about}\n\n{table(head, rows)}")
    return "\n".join(found)


def _section(name: str) -> bool:
    kind = Config.model_fields[name].annotation
    return isinstance(kind, type) and issubclass(kind, Section)


def _setting(name: str, section: type[Section]) -> tuple[str, str, str, str]:
    field = section.model_fields[name]
    said = " ".join((field.description or "").split())
    return f"`{name}`", _values(field.annotation), _code(field.default), said


def _values(kind: Any) -> str:
    """A type as a person writes its values."""
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if get_origin(kind) is dict:
        who, _ = get_args(kind)
        return f"numbers by {_values(who)}"
    if get_origin(kind) is tuple:
        return "a list of scorers" if get_args(kind)[0] is Part else "a list"
    if get_args(kind):
        return " or ".join(_values(one) for one in get_args(kind))
    names = {str: "text", int: "whole number", float: "number", bool: "true, false", Part: "a part"}
    return names.get(kind, "null")


def _code(default: Any) -> str:
    if isinstance(default, Part):
        return f"`{default.name}`"
    return (
        "`null`"
        if default is None
        else f"`{default}`".replace("True", "true").replace("False", "false").replace("()", "[]")
    )


def checks() -> str:
    """Every health check with its thresholds and its advice."""
    rows: list[tuple[str, ...]] = []

    def read(name: str, value: float | None, advice: str, watch: float, stop: float) -> None:
        side = "below" if stop < watch else "above"
        rows.append((name, f"{side} {watch:g}", f"{side} {stop:g}", advice))

    with patch.object(health, "_judge", read):
        health.examine(_EVERYTHING)
    rows.insert(health.KL_PLACE, rows.pop())
    return table(("check", "watch", "stop", "advice"), rows)


_EVERYTHING = [
    dict.fromkeys(
        (
            *NAMES,
            *("loss_first", "loss_expected_first", "logp_chosen_ref", "logp_rejected_ref"),
            *("distinct_2", "entropy", "ties", "duplicates", "eos_rate", "sampler_gap"),
            "eval_prompts_seen",
        ),
        value,
    )
    for value in (1.0, 0.9)
]
"""metrics with which every check has its numbers"""


def formats() -> str:
    """Every format of preference and single-response files, by its columns."""
    return table(
        ("format", "columns"),
        [(name, ", ".join(f"`{c}`" for c in columns)) for name, columns in FORMATS.items()],
    )


def recipe(name: str) -> str:
    """What a recipe sets for a model of the user's: only what differs from the plain defaults."""
    plain = _flat(parse({"recipe": name, "model": {"path": "my-model"}}).model_dump(mode="json"))
    rows = []
    for phase in phases_of(parse({"recipe": name, "model": {"path": "my-model"}})):
        mine = _flat(phase.config.model_dump(mode="json"))
        rounds = "1 round" if phase.rounds == 1 else f"{phase.rounds} rounds"
        said = [f"`{key}={_short(value)}`" for key, value in mine.items() if value != plain[key]]
        rows.append((f"{phase.name}, {rounds}", ", ".join(said) or "nothing"))
    return table(("phase", "sets"), rows)


def _short(value: Any) -> str:
    name = value.get("name") if isinstance(value, dict) else None
    return str(name or ("null" if value is None else value)).replace("'", "")


def _flat(tree: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{section}.{key}": value
        for section, inside in tree.items()
        if isinstance(inside, dict)
        for key, value in inside.items()
    }


MADE: dict[str, Callable[[], str]] = {
    **{k.replace("/", "-"): lambda k=k: parts(k) for k in plugins.KINDS},  # type: ignore[misc]
    **{f"recipe-{n}": lambda n=n: recipe(n) for n in plugins.names("recipes")},  # type: ignore[misc]
    "settings": settings,
    "health": checks,
    "formats": formats,
}
"""the name of a table in a page → its maker"""


def outdated() -> Iterator[tuple[str, str]]:
    """(page, table) for every table that is not what the code says."""
    for page in PAGES:
        for name, text in made_from_code(page).items():
            if name not in MADE or text != MADE[name]():
                yield str(page), name


def write() -> None:
    """Bring every page up to date."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name in made_from_code(page):
            marks = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
            fresh = marks[0] + MADE[name]() + marks[1]
            text = re.sub(f"{marks[0]}.*?{marks[1]}", lambda _, f=fresh: f, text, flags=re.DOTALL)
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
