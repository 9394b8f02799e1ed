"""Plug-ins by file name: the file prefloop/losses/ipo.py is the loss called "ipo".

A plug-in file defines one public function or class. It may also set `aliases` (other names it
answers to), `needs` (inputs it cannot do without) and `exempt` ({contract: reason}). What can be
said about a plug-in without running it — its options, its first line — is read from its source,
so that listing and validating import nothing heavy.
"""

import ast
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, partial
from importlib import import_module
from inspect import isclass
from pathlib import Path
from typing import Any, get_type_hints

from prefloop.types import Oracle, Scorer

KINDS = ("losses", "bonuses", "explore", "novelty", "oracles", "recipes")
HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a plug-in's source says about it."""

    name: str
    summary: str
    options: dict[str, str]
    """option → its default as written, "" when it has none"""
    aliases: tuple[str, ...]
    needs: tuple[str, ...]


def names(kind: str) -> list[str]:
    """Every plug-in of a kind: names("losses") is ["dpo", "hinge", ...]."""
    return sorted(p.stem for p in (HERE / kind).glob("*.py") if not p.stem.startswith("_"))


@cache
def card(kind: str, name: str) -> Card:
    """What the source of a plug-in says about it, read without importing it."""
    tree = ast.parse((HERE / kind / f"{name}.py").read_text(encoding="utf-8"))
    public = [node for node in tree.body if _is_definition(node) and not _name(node)[0] == "_"]
    if len(public) != 1:
        raise LookupError(
            f"prefloop/{kind}/{name}.py must define one public name, not {len(public)}"
        )
    constants = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id in ("aliases", "needs")
    }
    return Card(
        name=name,
        summary=(ast.get_docstring(public[0]) or "").split("\n")[0],
        options=_options(public[0]),
        aliases=tuple(constants.get("aliases", ())),
        needs=tuple(constants.get("needs", ())),
    )


def resolve(kind: str, name: str) -> str:
    """The file name behind a name or an alias; LookupError names what there is."""
    known = names(kind)
    for candidate in known:
        if name == candidate or name in card(kind, candidate).aliases:
            return candidate
    near = get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise LookupError(f"{kind}/ has no {name!r}{hint} It has: {', '.join(known)}")


def check(kind: str, name: str, options: Mapping[str, Any]) -> None:
    """Raise if there is no such plug-in, or if it has no such option."""
    if ":" in name:
        return
    known = card(kind, resolve(kind, name)).options
    for option in options:
        if option not in known:
            near = get_close_matches(option, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            has = ", ".join(known) or "none"
            raise ValueError(f"{kind}/{name} has no option {option!r}{hint} Its options: {has}")


def find(kind: str, name: str) -> Callable[..., Any]:
    """The one public function or class that prefloop/<kind>/<name>.py defines."""
    file = resolve(kind, name)
    module = import_module(f"prefloop.{kind}.{file}")
    found: Callable[..., Any] = next(
        thing
        for key, thing in vars(module).items()
        if not key.startswith("_") and getattr(thing, "__module__", None) == module.__name__
    )
    return found


def build(kind: str, name: str, options: Mapping[str, Any], **context: Any) -> Any:
    """A part made ready: a class is constructed, a function gets its options bound.

    An option typed `Oracle` or `Scorer` may itself be a name or {"name": …, option: …} and is
    built first. `context` (seed, device, …) fills the fields of those names that were not set.
    """
    if ":" in name:
        from prefloop.oracles.function import Function

        return Function(target=name, **options)
    check(kind, name, options)
    part = find(kind, name)
    if not isclass(part):
        return partial(part, **options) if options else part
    hints = get_type_hints(part)
    given = {key: _nested(hints.get(key), value, context) for key, value in options.items()}
    defaults = {k: v for k, v in context.items() if k in hints and k not in given}
    return part(**given, **defaults)


def load(target: str) -> Any:
    """The object that `module:name` names; the working directory counts as a place to look."""
    module, _, name = target.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise LookupError(
            f"cannot load {target!r}: {error}; write it as module:function"
        ) from error


def _nested(hint: Any, value: Any, context: Mapping[str, Any]) -> Any:
    if hint not in (Oracle, Scorer) or not isinstance(value, str | Mapping):
        return value
    spec = {"name": value} if isinstance(value, str) else dict(value)
    return build("oracles", spec.pop("name"), spec, **context)


def _is_definition(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef | ast.ClassDef)


def _name(node: ast.stmt) -> str:
    assert isinstance(node, ast.FunctionDef | ast.ClassDef)
    return node.name


def _options(node: ast.stmt) -> dict[str, str]:
    """Keyword-only arguments of a function, or annotated public fields of a class."""
    if isinstance(node, ast.FunctionDef):
        pairs = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
        return {a.arg: ast.unparse(d) if d else "" for a, d in pairs}
    assert isinstance(node, ast.ClassDef)
    return {
        field.target.id: ast.unparse(field.value) if field.value else ""
        for field in node.body
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and not field.target.id.startswith("_")
    }
