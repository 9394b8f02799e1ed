"""Responses that say the same in the same words."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from prefloop.clusters._rules import by_first_appearance
from prefloop.types import Response

_TOKEN = re.compile(r"-?\d+(?:[.,]\d+)*|[^\W_]+|[^\w\s]")
_SILENT = frozenset(".,;:!?…'\"`")


@dataclass(frozen=True, kw_only=True)
class Exact:
    """The same words but for case, spaces, and the punctuation of sentences.

    For short answers, where agreement is being the same answer: self-consistency (Wang et al.
    2022, arXiv:2203.11171) counts votes so. Numbers keep their sign and their decimals.
    """

    def clusters(self, responses: Sequence[Response]) -> tuple[int, ...]:
        return by_first_appearance([_words(r.text) or r.text.strip() for r in responses])


def _words(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text).replace("−", "-").casefold()
    return " ".join(token for token in _TOKEN.findall(plain) if not _is_silent(token))


def _is_silent(token: str) -> bool:
    """Stops, quotes, brackets and dashes; not the plus of C++ or the sharp of C#."""
    kind = unicodedata.category(token) if len(token) == 1 else ""
    return token in _SILENT or kind in ("Ps", "Pe", "Pi", "Pf", "Pd")
