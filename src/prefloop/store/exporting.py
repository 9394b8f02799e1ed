"""Answered queries as TRL preference Parquet, for anyone else to train on."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from prefloop.store.text import plain_text
from prefloop.types import Preference, Prompt


def write_preferences(
    preferences: Iterable[Preference], path: Path, *, ties: Literal["keep", "drop"] = "keep"
) -> int:
    """Write `prompt, chosen, rejected` and p = P(chosen ≻ rejected) ≥ ½; the number of rows.

    `chosen` is the likelier winner, and `a` of a tie, which is kept with p = ½ unless dropped: TRL
    itself ignores `p`. Chats are written as TRL's conversational lists, with the plain text of
    those whose own markup the messages do not hold. Who wrote what is in `chosen_source` and
    `rejected_source`. `importing.preferences` reads the file back.
    """
    if path.suffix != ".parquet":
        raise ValueError(
            f"preferences are exported as Parquet, got {path.name}; end it in .parquet"
        )
    rows = [_row(answered) for answered in preferences if ties == "keep" or answered.p != 0.5]
    if not rows:
        raise ValueError(f"there are no preferences to write to {path}; collect some labels first")
    chats = sum(isinstance(row["prompt"], list) for row in rows)
    if chats not in (0, len(rows)):
        raise ValueError(
            f"{chats} of {len(rows)} prompts are chats and the others plain text, which one "
            "Parquet column cannot hold; export the two kinds to two files"
        )
    if not any(row["prompt_text"] for row in rows):
        rows = [{key: cell for key, cell in row.items() if key != "prompt_text"} for row in rows]
    _write(rows, path)
    return len(rows)


def _row(answered: Preference) -> dict[str, Any]:
    query, p = answered.query, answered.p
    if p < 0.5:
        query, p = query.swap(), 1 - p
    prompt = query.prompt
    return {
        "prompt": list(prompt.messages) or prompt.text,
        "chosen": _answer(prompt, query.a.text),
        "rejected": _answer(prompt, query.b.text),
        "p": p,
        "chosen_source": query.a.source,
        "rejected_source": query.b.source,
        "chosen_version": query.a.policy_version,
        "rejected_version": query.b.policy_version,
        "prompt_text": _markup(prompt),
    }


def _answer(prompt: Prompt, text: str) -> Any:
    return [{"role": "assistant", "content": text}] if prompt.messages else text


def _markup(prompt: Prompt) -> str | None:
    own = bool(prompt.messages) and prompt.text != plain_text(prompt.messages)
    return prompt.text if own else None


def _write(rows: list[dict[str, Any]], path: Path) -> None:
    """Under another name first, so that a full disk leaves no half of a file."""
    from pyarrow import Table, parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        parquet.write_table(Table.from_pylist(rows), part)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OSError(f"cannot write {path}: {error}; nothing was left behind") from error
