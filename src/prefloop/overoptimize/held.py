"""What a folder of results is of: what was measured before must not change under it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefloop import whole
from prefloop.config import Config, ConfigError
from prefloop.overoptimize.request import Request

FILE = "overoptimization.json"
SHARED = {"model", "data", "reward", "sample", "measure"}
"""sections that decide what is drawn, and what proxies are trained; the others are the policies'"""


def hold_to(request: Request, out: Path) -> None:
    """Write down what decides the numbers, or refuse to go on with those of another request.

    Proxies, policies and seeds may be added; samples and prompts may not change, nor the settings
    of a policy that has runs there.
    """
    path, now = out / FILE, _described(request)
    then = _read(path) if path.exists() else now
    changed = [
        f"  {key}: was {then.get(key)!r}, now {now[key]!r}"
        for key in now
        if key in then and then[key] != now[key]
    ]
    if changed:
        raise ConfigError(
            f"{path} is of other settings:\n" + "\n".join(changed) + "\nput them back to continue "
            "(proxies, policies and seeds may be added), or start another with --out"
        )
    out.mkdir(parents=True, exist_ok=True)
    whole.write(path, json.dumps({**then, **now}, indent=1) + "\n")


def _described(request: Request) -> dict[str, Any]:
    """Name → what it is, as JSON has it."""
    shared = {k: v for k, v in _set(request.base).items() if k in SHARED}
    found = {"samples": request.samples, "prompts": request.prompts, "settings": shared}
    policies = {
        f"policy {method.name}": _set(request.base.override(method.settings))
        for method in request.policies
    }
    return found | policies


def _set(config: Config) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(config.model_dump_json(exclude_unset=True))
    return found


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {**found}
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{path} is damaged, so it cannot be told what this folder is of; restore it, or start "
            "another with --out"
        ) from error
