"""What every oracle checks or reads at its border."""

import math
from typing import Any

from prefloop.types import Missing, Oracle, Query, Scorer, content_hash


def query_id(query: Query) -> str:
    """The query's id, or the hash of what was asked where it has none."""
    return query.id or content_hash(query.prompt.id, query.a.text, query.b.text)


def finite(value: Any) -> float | Missing:
    """A number as it is, anything else as a Missing that says what it was."""
    if isinstance(value, Missing):
        return value
    try:
        number = math.nan if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    return number if math.isfinite(number) else Missing(f"expected a number, got {value!r}")


def must_compare(inner: object, owner: str) -> None:
    """ValueError unless `inner` can be asked about pairs."""
    if not isinstance(inner, Oracle):
        raise ValueError(
            f"{owner} needs an oracle that compares two responses, got {type(inner).__name__}; "
            "a scorer becomes one inside bradley_terry"
        )


def must_score(scorer: object, owner: str) -> None:
    """ValueError unless `scorer` rates single responses."""
    if not isinstance(scorer, Scorer):
        raise ValueError(
            f"{owner} needs a scorer that rates one response, got {type(scorer).__name__}; "
            "one with a method score(responses), such as sentiment or reward_model"
        )
