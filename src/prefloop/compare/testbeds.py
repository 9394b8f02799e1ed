"""The truths a comparison on the embedded testbed can be made under, as settings of a run."""

from collections.abc import Mapping
from typing import Any

from prefloop.config import ConfigError

TESTBEDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "styled": {
        "ask.oracle": {"name": "bradley_terry", "scorer": "styled", "scale": 2.0},
        "measure.gold": {"name": "styled"},
        "measure.judges": [{"name": "style"}, {"name": "sentiment"}, {"name": "vader"}],
    },
}
"""`styled`: gold also likes what the policy hardly ever does, and the proxy does not know it"""


def settings_of(testbed: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a testbed sets; ConfigError for one that is not there, or under another model."""
    if testbed not in TESTBEDS:
        raise ConfigError(f"testbed must be one of {', '.join(TESTBEDS)}, got {testbed!r}")
    model = settings.get("model.path", "testbed")
    if TESTBEDS[testbed] and model != "testbed":
        raise ConfigError(
            f"testbed {testbed} is about the embedded model, got model.path={model}; leave out one "
            "of the two"
        )
    return dict(TESTBEDS[testbed])
