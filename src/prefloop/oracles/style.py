"""Does a response have the testbed's rare style?"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from prefloop.types import Missing, Response

exempt = {"the_scores_tell_responses_apart": "a rare style; most responses do not have it"}

_SECOND_CLAUSE = re.compile(r";(\s+\S+){4}")


@dataclass(frozen=True, kw_only=True)
class Style:
    """One where a semicolon joins a further clause of four words or more, else zero.

    The testbed's policy does so in under 1 % of its samples (`scripts/measure_style.py`). Gold and
    proxy read words and no punctuation: neither can see it.
    """

    def score(self, responses: Sequence[Response]) -> list[float | Missing]:
        return [float(_SECOND_CLAUSE.search(r.text) is not None) for r in responses]
