"""Rows in public formats, as prompts, pairs and single responses.

TRL's columns (plain and conversational), HH's transcripts and prefloop's own `prompt, a, b, p`.
Which format a row is in is read off its columns; HH's is recognised by its "Human:" turns.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeVar

from prefloop.store.text import plain_text
from prefloop.types import Message, Prompt, Response

Row = Mapping[str, Any]
T = TypeVar("T")

FORMATS = {
    "prefloop": ("prompt", "a", "b", "p"),
    "preference": ("prompt", "chosen", "rejected"),
    "implicit preference": ("chosen", "rejected"),
    "unpaired": ("prompt", "completion", "label"),
    "prompt-completion": ("prompt", "completion"),
    "prompt-only": ("prompt",),
    "conversation": ("messages",),
    "text": ("text",),
}
"""format → the columns that make it; of two that fit a row, the first is meant"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two responses to one prompt and p = P(a ≻ b), as a file gives them."""

    prompt: Prompt
    a: str
    b: str
    p: float

    def swap(self) -> "Pair":
        """The same comparison named the other way round."""
        return Pair(prompt=self.prompt, a=self.b, b=self.a, p=1 - self.p)


def detect(columns: Iterable[str]) -> str:
    """The name of the format that has these columns; ValueError names the formats there are."""
    seen = list(columns)
    for name, needed in FORMATS.items():
        if set(needed) <= set(seen):
            return name
    known = "; ".join(f"{name}: {', '.join(needed)}" for name, needed in FORMATS.items())
    raise ValueError(f"no known format has the columns {', '.join(seen)}. Known are: {known}")


def prompts(rows: Iterable[Row]) -> Iterator[Prompt]:
    """The `prompt` of every row, plain or conversational; other columns go to its `meta`."""
    return _each(rows, _prompt_only, None)


def preferences(rows: Iterable[Row], *, skipped: list[str] | None = None) -> Iterator[Pair]:
    """The comparisons of preference rows; `chosen` is a, with p = 1 unless a column `p` says.

    A row that is no comparison (an empty response, identical candidates) raises ValueError with
    its number; given a list `skipped`, the message goes there instead and the row is left out.
    """
    return _each(rows, _pair, skipped)


def unpaired(rows: Iterable[Row], *, skipped: list[str] | None = None) -> Iterator[Response]:
    """The single responses of unpaired, prompt-completion, conversation and text rows.

    `desirable` is the label of unpaired rows. A conversation's response is its last turn; a row
    of running text is the response to an empty prompt.
    """
    return _each(rows, _single, skipped)


def _each(rows: Iterable[Row], read: Callable[[Row], T], skipped: list[str] | None) -> Iterator[T]:
    for number, row in enumerate(rows, 1):
        try:
            found = read(row)
        except ValueError as error:
            if skipped is None:
                raise ValueError(f"row {number}: {error}") from None
            skipped.append(f"row {number}: {error}")
        else:
            yield found


def _prompt_only(row: Row) -> Prompt:
    if "prompt" not in row:
        raise ValueError(
            f"there is no column 'prompt' (has: {', '.join(row)}); name the one that holds the "
            "prompts so"
        )
    return _prompt(row["prompt"], row, "prompt-only")


def _pair(row: Row) -> Pair:
    kind = detect(row)
    if kind == "prefloop":
        start, a, b = row["prompt"], row["a"], row["b"]
    elif kind in ("preference", "implicit preference"):
        start, a, b = _explicit(row.get("prompt"), row["chosen"], row["rejected"])
    else:
        raise ValueError(
            f"a comparison needs two responses, and the columns ({', '.join(row)}) are those "
            f"of {kind} data; give it chosen and rejected, or train on it with sft"
        )
    prompt = _prompt(start, row, kind)
    return _comparison(prompt, _answer(prompt, a), _answer(prompt, b), row.get("p", 1.0))


def _comparison(prompt: Prompt, a: str, b: str, p: Any) -> Pair:
    if a == b:
        raise ValueError(
            f"the two responses are identical, {_short(a)}, so there is nothing to compare; "
            "remove the row"
        )
    if not isinstance(p, int | float) or not isfinite(p) or not 0 <= p <= 1:
        raise ValueError(f"p must be a probability in [0, 1], got {p!r}; correct or remove the row")
    return Pair(prompt=prompt, a=a, b=b, p=float(p))


def _single(row: Row) -> Response:
    kind = detect(row)
    if kind in ("unpaired", "prompt-completion"):
        start, answer = row["prompt"], row["completion"]
    elif kind == "conversation":
        *start, last = _messages(row["messages"])
        answer = [last]
    elif kind == "text":
        start, answer = "", row["text"]
    else:
        raise ValueError(
            f"a single response is wanted, and the columns ({', '.join(row)}) are those of "
            f"{kind} data; give it prompt and completion, messages, or text"
        )
    prompt = _prompt(start, row, kind)
    desirable = _label(row["label"]) if kind == "unpaired" else None
    return Response(
        prompt=prompt, text=_answer(prompt, answer), source="dataset", desirable=desirable
    )


def _label(value: Any) -> bool:
    if value not in (True, False):
        raise ValueError(f"label must be true or false, got {value!r}; correct or remove the row")
    return bool(value)


def _prompt(value: Any, row: Row, kind: str) -> Prompt:
    """The prompt in a row of that kind; what the row holds beyond its format goes to `meta`."""
    meta = {key: cell for key, cell in row.items() if key not in (*FORMATS[kind], "p", _MARKUP)}
    if isinstance(value, str) and value.startswith(_HUMAN) and value.endswith(_ASSISTANT):
        return Prompt(text=value, messages=_hh_messages(value), meta=meta)
    if isinstance(value, str):
        return Prompt(text=value, meta=meta)
    messages = _messages(value)
    return Prompt(text=row.get(_MARKUP) or plain_text(messages), messages=messages, meta=meta)


def _answer(prompt: Prompt, value: Any) -> str:
    """The text of a response that is a text or a single assistant message."""
    if not isinstance(value, str):
        messages = _messages(value)
        if [message["role"] for message in messages] != ["assistant"]:
            roles = ", ".join(message["role"] for message in messages)
            raise ValueError(
                f"a response is one assistant message, got the roles {roles}; move what comes "
                "before the last answer to the prompt"
            )
        value = messages[0]["content"]
    if not value.strip():
        raise ValueError(f"a response must not be empty, got {value!r}; remove the row")
    return str(value.strip() if prompt.text.startswith(_HUMAN) and prompt.messages else value)


def _messages(value: Any) -> tuple[Message, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise ValueError(f"a text or a list of messages is wanted, got {_short(value)}")
    return tuple(_message(message) for message in value)


def _message(value: Any) -> Message:
    role, content = (
        (value.get("role"), value.get("content")) if isinstance(value, Mapping) else (None, None)
    )
    if isinstance(content, list) and all(_is_text(part) for part in content):
        content = "".join(part["text"] for part in content)
    if not isinstance(role, str) or not isinstance(content, str):
        raise ValueError(
            f"a message has a role and a content that is text, got {_short(value)}; images and "
            "tool calls are not supported"
        )
    return {"role": role, "content": content}


def _is_text(part: Any) -> bool:
    return isinstance(part, Mapping) and isinstance(part.get("text"), str)


def _explicit(prompt: Any, chosen: Any, rejected: Any) -> tuple[Any, Any, Any]:
    """Prompt, chosen and rejected; a prompt that only the responses contain is cut out of them.

    As in TRL, a plain `prompt` beside conversations is a title, not the prompt.
    """
    for answer in (chosen, rejected):
        if not isinstance(answer, str):
            _messages(answer)
    spoken = not isinstance(chosen, str)
    if prompt is not None and not (spoken and isinstance(prompt, str)):
        return prompt, _without(prompt, chosen), _without(prompt, rejected)
    if not spoken and chosen.startswith(_HUMAN) and rejected.startswith(_HUMAN):
        return _split_hh(chosen, rejected)
    return _split(chosen, rejected)


def _without(prompt: Any, answer: Any) -> Any:
    """The answer, its conversation's start left out if it repeats the prompt."""
    whole = not isinstance(answer, str) and list(answer[: len(prompt)]) == list(prompt)
    return answer[len(prompt) :] if whole else answer


def _split(chosen: Any, rejected: Any) -> tuple[Any, Any, Any]:
    """The longest common start, a space before the difference left to the responses (as TRL)."""
    at = _common(chosen, rejected)
    if at == 0 and not isinstance(chosen, str):
        raise ValueError(
            "chosen and rejected must begin with the same turns, or have a prompt of messages "
            f"beside them; got {_short(chosen)} and {_short(rejected)}"
        )
    if at and chosen[at - 1] == " ":
        at -= 1
    return chosen[:at], chosen[at:], rejected[at:]


def _common(x: Sequence[Any], y: Sequence[Any]) -> int:
    pairs = enumerate(zip(x, y, strict=False))
    return next((i for i, (one, other) in pairs if one != other), min(len(x), len(y)))


_HUMAN, _ASSISTANT = "\n\nHuman:", "\n\nAssistant:"
_ROLES = {"Human": "user", "Assistant": "assistant"}
_MARKUP = "prompt_text"
"""the column in which an export keeps how a chat was written as plain text"""


def _split_hh(chosen: str, rejected: str) -> tuple[str, str, str]:
    """Up to the last "Assistant:" that both transcripts share: an answer may quote one itself."""
    shared = chosen[: _common(chosen, rejected)]
    at = shared.rfind(_ASSISTANT)
    if at < 0:
        raise ValueError(
            f"the transcripts share no {_ASSISTANT!r} turn that both could answer, got "
            f"{_short(chosen)} and {_short(rejected)}; correct or remove the row"
        )
    end = at + len(_ASSISTANT)
    return chosen[:end], chosen[end:], rejected[end:]


def _hh_messages(transcript: str) -> tuple[Message, ...]:
    """The turns of an HH transcript; turns of one speaker in a row are joined by a blank line."""
    _, *pieces = re.split(r"\n\n(Human|Assistant):", transcript)
    found: list[Message] = []
    for speaker, said in zip(pieces[:-2:2], pieces[1:-2:2], strict=True):
        role, content = _ROLES[speaker], said.strip()
        if found and found[-1]["role"] == role:
            found[-1]["content"] += f"\n\n{content}"
        else:
            found.append({"role": role, "content": content})
    return tuple(found)


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:77] + "…"
