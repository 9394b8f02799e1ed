"""prefloop: closed-loop preference alignment — sample, choose, ask, learn, measure."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefloop.batches import PairLogps as PairLogps
    from prefloop.batches import PointLogps as PointLogps
    from prefloop.config import Config as Config
    from prefloop.loop import Parts as Parts
    from prefloop.loop import online as online
    from prefloop.runs import Given as Given
    from prefloop.runs import Result as Result
    from prefloop.runs import run as run
    from prefloop.types import Answer as Answer
    from prefloop.types import Candidates as Candidates
    from prefloop.types import Missing as Missing
    from prefloop.types import Preference as Preference
    from prefloop.types import Prompt as Prompt
    from prefloop.types import Query as Query
    from prefloop.types import Response as Response

__version__ = version("prefloop")

_HOME = {
    **dict.fromkeys(("Answer", "Candidates", "Missing", "Preference"), "types"),
    **dict.fromkeys(("Prompt", "Query", "Response"), "types"),
    **dict.fromkeys(("PairLogps", "PointLogps"), "batches"),
    **dict.fromkeys(("Given", "Result", "run"), "runs"),
    **dict.fromkeys(("Parts", "online"), "loop"),
    "Config": "config",
}
__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    """Import what is asked for, when it is asked for: `import prefloop` stays light."""
    if name not in _HOME:
        raise AttributeError(f"module 'prefloop' has no attribute {name!r}")
    return getattr(import_module(f"prefloop.{_HOME[name]}"), name)
