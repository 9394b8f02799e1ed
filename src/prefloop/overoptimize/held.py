"""What a folder of results is of: what was measured before must not change under it."""

import json
from pathlib import Path
from typing import Any

from prefloop.config import ConfigError
from prefloop.overoptimize.request import Request

FILE = "overoptimization.json"


def hold_to(request: Request, out: Path) -> None:
    """Write down what decides the numbers, or refuse to go on with those of another request.

    Proxies, policies and seeds may be added; samples and prompts may not change.
    """
    path, now = out / FILE, _described(request)
    then = json.loads(path.read_text(encoding="utf-8")) if path.exists() else now
    changed = [
        f"  {key}: was {then.get(key)!r}, now {now[key]!r}"
        for key in now
        if then.get(key) != now[key]
    ]
    if changed:
        raise ConfigError(
            f"{path} is of other settings:\n" + "\n".join(changed) + "\nput them back to continue "
            "(proxies, policies and seeds may be added), or start another with --out"
        )
    out.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def _described(request: Request) -> dict[str, Any]:
    """As JSON has it; how much is trained at a time decides which pairs there are."""
    return {
        "samples": request.samples,
        "prompts": request.prompts,
        "settings": json.loads(
            json.dumps(request.base.model_dump(mode="json", exclude_unset=True))
        ),
    }
