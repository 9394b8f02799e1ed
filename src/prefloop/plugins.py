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
from inspect import isclass, isfunction, signature
from pathlib import Path
from typing import Any, Literal, TypeGuard, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from prefloop.types import Features, Oracle, Scorer

KINDS = (
    *("losses", "losses/reward", "losses/views", "bonuses", "explore", "clusters"),
    *("features", "novelty", "oracles", "recipes"),
)
HERE = Path(__file__).parent
NESTED = {Oracle: "oracles", Scorer: "oracles", Features: "features"}
"""type of an option that is a part itself → its kind"""


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a plug-in's source says about it."""

    name: str
    summary: str
    options: dict[str, str]
    """option → its default as written, "" when it has none"""
    aliases: tuple[str, ...]
    needs: tuple[str, ...]
    samples: str
    """whose responses a bonus is on unless told otherwise"""


def names(kind: str) -> list[str]:
    """Every plug-in of a kind: names("losses") is ["dpo", "hinge", ...]."""
    return sorted(p.stem for p in (HERE / kind).glob("*.py") if not p.stem.startswith("_"))


@cache
def card(kind: str, name: str) -> Card:
    """What the source of a plug-in says about it, read without importing it."""
    tree = ast.parse((HERE / kind / f"{name}.py").read_text(encoding="utf-8"))
    public = [node for node in tree.body if _is_definition(node) and node.name[0] != "_"]
    if len(public) != 1:
        raise LookupError(
            f"prefloop/{kind}/{name}.py must define one public name, not {len(public)}"
        )
    constants = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id in ("aliases", "needs", "samples")
    }
    return Card(
        name=name,
        summary=(ast.get_docstring(public[0]) or "").split("\n")[0],
        options=_options(public[0]),
        aliases=tuple(constants.get("aliases", ())),
        needs=tuple(constants.get("needs", ())),
        samples=constants.get("samples", ""),
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
    module = import_module(f"prefloop.{kind.replace('/', '.')}.{file}")
    found: Callable[..., Any] = next(
        thing
        for key, thing in vars(module).items()
        if not key.startswith("_") and getattr(thing, "__module__", None) == module.__name__
    )
    return found


def build(kind: str, name: str, options: Mapping[str, Any], **context: Any) -> Any:
    """A part made ready: a class is constructed, a function gets its options bound.

    An option typed `Oracle`, `Scorer` or `Features` may itself be a name or {"name": …, option: …}
    and is built first; any other must fit its type. `context` (seed, device, …) fills the options
    of those names that were not set. A name like `module:thing` is yours: a class or a function as
    above; where an oracle is wanted, a function judges lists.
    """
    check(kind, name, options)
    part = load(name) if ":" in name else find(kind, name)
    hints = get_type_hints(part) if isclass(part) or isfunction(part) else {}
    given = {k: _option(f"{name}.{k}", hints.get(k), v, context) for k, v in options.items()}
    if not isclass(part):
        part = partial(part, **given) if given else part
        return as_oracle(part) if ":" in name and kind == "oracles" else part
    takes = signature(part).parameters
    given |= {key: value for key, value in context.items() if key in takes and key not in given}
    lacks = [
        option
        for option, parameter in takes.items()
        if option not in given and parameter.default is parameter.empty
    ]
    if lacks:
        raise ValueError(f"{kind}/{name} needs {lacks[0]}; write {{name: {name}, {lacks[0]}: …}}")
    return part(**given)


def declared(kind: str, name: str, what: Literal["needs", "samples"]) -> Any:
    """What a part's file declares; read without importing where the part is one of ours."""
    if ":" not in name:
        return getattr(card(kind, resolve(kind, name)), what)
    module = sys.modules.get(getattr(load(name), "__module__", ""))
    return getattr(module, what, {"needs": (), "samples": "reference"}[what])


def load(target: str) -> Any:
    """The object that `module:name` names; the working directory counts as a place to look."""
    module, _, name = target.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise LookupError(
            f"cannot load {target!r}: {error}; write it as module:function"
        ) from error


def as_oracle(part: Any) -> Any:
    """A function of the user's as an oracle and scorer; an object that already is one, as it is."""
    return part if isinstance(part, Oracle | Scorer) else find("oracles", "function")(target=part)


def _option(where: str, hint: Any, value: Any, context: Mapping[str, Any]) -> Any:
    """The value as its type wants it: a nested part built, 2 made 2.0 for a float."""
    kind = NESTED.get(hint)
    if kind and isinstance(value, str | Mapping):
        spec = {"name": value} if isinstance(value, str) else dict(value)
        if "name" not in spec:
            raise ValueError(f"{where} needs the name of a part, got {spec}")
        return build(kind, spec.pop("name"), spec, **context)
    if hint == tuple[Scorer, ...] and isinstance(value, list | tuple):
        return tuple(_option(where, Scorer, one, context) for one in value)
    if hint is None or kind:
        return value
    try:
        known = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
        return known.validate_python(value)
    except ValidationError as error:
        raise ValueError(f"{where}: {error.errors()[0]['msg']}, got {value!r}") from None


def _is_definition(node: ast.stmt) -> TypeGuard[ast.FunctionDef | ast.ClassDef]:
    return isinstance(node, ast.FunctionDef | ast.ClassDef)


def _options(node: ast.FunctionDef | ast.ClassDef) -> dict[str, str]:
    """Keyword-only arguments of a function, or annotated public fields of a class."""
    if isinstance(node, ast.FunctionDef):
        pairs = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
        return {a.arg: _written(d) for a, d in pairs}
    return {
        field.target.id: _written(field.value)
        for field in node.body
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and not field.target.id.startswith("_")
    }


def _written(default: ast.expr | None) -> str:
    """A default as a reader would write it; field(default_factory=Thing) is Thing()."""
    if isinstance(default, ast.Call) and ast.unparse(default.func) == "field":
        factories = [word.value for word in default.keywords if word.arg == "default_factory"]
        return f"{ast.unparse(factories[0])}()" if factories else ""
    return ast.unparse(default) if default else ""
