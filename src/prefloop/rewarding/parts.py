"""Which scorer is meant: a part by name, or a folder, which says itself how it is read."""

import json
from pathlib import Path
from typing import Any

from prefloop import plugins
from prefloop.config import ConfigError
from prefloop.runs.generating import read_part


def scorer(text: str, *, device: str = "auto") -> Any:
    """The part that `text` names: a folder, a part with options, or module:function."""
    folder = Path(text)
    if folder.is_dir():
        name, options = of_folder(folder)
        known = plugins.card("oracles", name).options
        return plugins.build(
            "oracles", name, options | ({"device": device} if "device" in known else {})
        )
    part = read_part(text)
    return plugins.as_oracle(plugins.build("oracles", part.name, part.options))


def of_folder(folder: Path) -> tuple[str, dict[str, Any]]:
    """(part, options) that read it; of a run, its last reward model."""
    kept = sorted((folder / "rewards").glob("round-*"))
    folder = kept[-1] if kept else folder
    if (folder / "gate.json").exists():
        return "gated", {"path": str(folder)}
    if (folder / "head.json").exists():
        return "feature_head", {"path": str(folder)}
    try:
        said = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ConfigError(
            f"{folder} is no reward model: it has no config.json; give a folder that prefloop "
            "reward train wrote, a sequence classifier's, or a run that trained one"
        ) from None
    kinds = " ".join(said.get("architectures") or ())
    return ("pair_model" if "CausalLM" in kinds or "LMHead" in kinds else "reward_model"), {
        "path": str(folder)
    }
