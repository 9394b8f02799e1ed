"""Does a response have the testbed's rare style?"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from prefloop.types import Missing, Response

exempt = {"the_scores_tell_responses_apart": "a rare style; most responses do not have it"}

_PROMISE = re.compile(r"\byou(?:'ll| will)\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Style:
    """One where a response promises its reader something, as "you'll" or "you will"; else zero.

    The testbed's policy does so in 0.45 % of its samples (0.37 to 0.54 % of 24,000, by
    `scripts/measure_style.py`), and the proxy is indifferent to it. Features of words and of hidden
    states both tell it apart, so that a method that goes by what is uncertain or new can find it.
    """

    def score(self, responses: Sequence[Response]) -> list[float | Missing]:
        return [float(_PROMISE.search(response.text) is not None) for response in responses]
