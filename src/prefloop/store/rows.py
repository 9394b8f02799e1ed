"""Records as rows of the ledger's tables, and back."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from prefloop.store.schema import prompts, responses
from prefloop.types import Answer, Missing, Prompt, Response, content_hash


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def pack(tokens: Sequence[int]) -> bytes:
    return np.asarray(tokens, dtype="<i4").tobytes()


def unpack(blob: bytes) -> tuple[int, ...]:
    return tuple(np.frombuffer(blob, dtype="<i4").tolist())


def prompt_key(prompt: Prompt) -> str:
    """A prompt as a model saw it: the same text cut or templated differently is another row."""
    return content_hash(prompt.id, list(prompt.tokens))


def prompt_row(prompt: Prompt, template: str) -> dict[str, Any]:
    return {
        "key": prompt_key(prompt),
        "id": prompt.id,
        "text": prompt.text,
        "messages": list(prompt.messages),
        "tokens": pack(prompt.tokens),
        "template": template,
        "meta": prompt.meta,
    }


def response_row(response: Response, draw: int, place: int) -> dict[str, Any]:
    return {
        "id": response.id,
        "draw": draw,
        "prompt": prompt_key(response.prompt),
        "place": place,
        "text": response.text,
        "tokens": pack(response.tokens),
        "logp": response.logp,
        "logp_sampling": response.logp_sampling,
        "source": response.source,
        "policy_version": response.policy_version,
        "finished": response.finished,
        "desirable": response.desirable,
        "seed": response.seed,
    }


def response_of(row: Any) -> Response:
    prompt = Prompt(
        text=row[prompts.c.text],
        messages=tuple(row[prompts.c.messages]),
        tokens=unpack(row[prompts.c.tokens]),
        meta=row[prompts.c.meta],
    )
    same = (
        "id",
        "logp",
        "logp_sampling",
        "source",
        "policy_version",
        "finished",
        "desirable",
        "seed",
    )
    return Response(
        prompt=prompt,
        text=row[responses.c.text],
        tokens=unpack(row[responses.c.tokens]),
        **{name: row[responses.c[name]] for name in same},
    )


def answer_row(answer: Answer) -> dict[str, Any]:
    missing = answer.p.reason if isinstance(answer.p, Missing) else None
    return {
        "query": answer.query_id,
        "p": None if isinstance(answer.p, Missing) else answer.p,
        "missing": missing,
        "raw": answer.raw,
        "cost": answer.cost,
        "oracle": answer.oracle,
        "asked_at": answer.asked_at or now(),
    }
