"""What reward models learn from and are measured on: a file's labels, or the answers of a run."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

from prefloop.store import importing
from prefloop.store.files import read_rows
from prefloop.store.ledger import Ledger
from prefloop.types import Preference, Query, Ranking, Rating, Response, content_hash

Row = Preference | Ranking | Rating
LABELS = {"a": 1.0, "b": 0.0, "tie": 0.5}


def read(source: str, limit: int | None = None) -> list[Row]:
    """The rows of a preference file, of its like with several responses, or of a run folder.

    Beside the formats of preference data: `response_a, response_b, label` and `responses, pairs`
    (labels a, b or tie), `responses, ranks` (1 is best), `completion, values` (ratings, null for
    none). Pairs of identical responses are left out. ValueError where nothing is left.
    """
    folder = Path(source)
    if (folder / "ledger.sqlite").exists():
        known: list[Row] = [row for _, row in answered(folder)]
        found = known[:limit]
    else:
        found = list(_named(_rows(list(read_rows(source, limit)))))
    if not found:
        raise ValueError(f"there is nothing labelled in {source}; give preferences, or another run")
    return found


def answered(folder: Path) -> list[tuple[int, Preference]]:
    """Every answer of a run, with the round that asked for it."""
    ledger = Ledger.open(folder / "ledger.sqlite")
    try:
        last = max((d["round"] for d in ledger.details("metrics")), default=0) + 1
        return [(r, p) for r in range(1, last + 1) for p in ledger.preferences(r)]
    finally:
        ledger.close()


def comparisons(rows: Sequence[Row]) -> list[Preference]:
    """All rows as pairs: those of a ranking, and of ratings of one prompt by their mean values."""
    found: list[Preference] = []
    rated: dict[str, list[tuple[Response, float]]] = {}
    for row in rows:
        if isinstance(row, Preference):
            found.append(row)
        elif isinstance(row, Ranking):
            ranks = [-rank for rank in row.ranks]
            found += _ordered(list(zip(row.responses, ranks, strict=True)))
        else:
            values = [v for v in row.values if v == v]
            if values:
                rated.setdefault(row.response.prompt.id, []).append((row.response, fmean(values)))
    return found + [pair for group in rated.values() for pair in _ordered(group)]


def responses_of(row: Row) -> tuple[Response, ...]:
    """Whatever the row is about."""
    if isinstance(row, Preference):
        return (row.query.a, row.query.b)
    return row.responses if isinstance(row, Ranking) else (row.response,)


def mapped(row: Row, known: Mapping[str, Response]) -> Row:
    """The row with its responses as `known` has them, by id."""
    if isinstance(row, Preference):
        a, b = known[row.query.a.id], known[row.query.b.id]
        return replace(row, query=replace(row.query, prompt=a.prompt, a=a, b=b))
    if isinstance(row, Ranking):
        return replace(row, responses=tuple(known[r.id] for r in row.responses))
    return replace(row, response=known[row.response.id])


def _ordered(group: Sequence[tuple[Response, float]]) -> list[Preference]:
    return [
        Preference(
            query=Query(prompt=a.prompt, a=a, b=b, id=f"{a.id}~{b.id}"),
            p=0.5 if x == y else float(x > y),
        )
        for (a, x), (b, y) in combinations(group, 2)
    ]


def _rows(rows: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    """Rows as files have them; the first one's columns say of which kind they all are."""
    columns = rows[0].keys() if rows else set()
    if {"responses", "ranks"} <= columns:
        yield from (_ranking(row, number) for number, row in enumerate(rows, 1))
    elif {"completion", "values"} <= columns:
        yield from (_rating(row, number) for number, row in enumerate(rows, 1))
    else:
        spread = (one for number, row in enumerate(rows, 1) for one in _spread(row, number))
        yield from map(_preference, importing.preferences(spread))


def _preference(pair: importing.Pair) -> Preference:
    a, b = (Response(prompt=pair.prompt, text=text, source="dataset") for text in (pair.a, pair.b))
    strength = pair.prompt.meta.get("strength")
    return Preference(query=Query(prompt=pair.prompt, a=a, b=b), p=pair.p, strength=strength)


def _spread(row: Mapping[str, Any], number: int) -> list[Mapping[str, Any]]:
    """The comparisons in a row, with columns that `store.importing` knows."""
    if {"response_a", "response_b", "label"} <= row.keys():
        rest = _without(row, "response_a", "response_b", "label")
        p = _label(row["label"], number)
        return [{**rest, "a": row["response_a"], "b": row["response_b"], "p": p}]
    if {"responses", "pairs"} <= row.keys():
        rest, texts = _without(row, "responses", "pairs"), row["responses"]
        pairs = [(texts[x["a"]], texts[x["b"]], _label(x["label"], number)) for x in row["pairs"]]
        return [{**rest, "a": a, "b": b, "p": p} for a, b, p in pairs if a != b]
    return [row]


def _label(value: Any, number: int) -> float:
    if value not in LABELS:
        raise ValueError(f"row {number}: a label is one of {', '.join(LABELS)}, got {value!r}")
    return LABELS[value]


def _ranking(row: Mapping[str, Any], number: int) -> Ranking:
    texts, ranks = row["responses"], row["ranks"]
    if len(texts) != len(ranks) or len(texts) < 2:
        raise ValueError(
            f"row {number}: a ranking is at least 2 responses with a rank each, got {len(texts)} "
            f"and {len(ranks)}"
        )
    found = tuple(_responses(row["prompt"], texts))
    return Ranking(responses=found, ranks=tuple(float(rank) for rank in ranks))


def _rating(row: Mapping[str, Any], number: int) -> Rating:
    (response,) = _responses(row["prompt"], [row["completion"]])
    values = tuple(float("nan") if v is None else float(v) for v in row["values"])
    if not values:
        raise ValueError(f"row {number}: values must hold at least one rating, got none")
    return Rating(response=response, values=values)


def _responses(prompt: Any, texts: Sequence[Any]) -> list[Response]:
    rows = [{"prompt": prompt, "completion": text} for text in texts]
    return list(importing.unpaired(rows))


def _without(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in names}


def _named(rows: Iterable[Row]) -> Iterator[Row]:
    """Ids for whatever has none: a response's of what it says, a row's of its place."""
    for number, row in enumerate(rows):
        if isinstance(row, Preference):
            a, b = (replace(r, id=response_id(r)) for r in responses_of(row))
            yield replace(row, query=replace(row.query, id=f"q{number}", a=a, b=b))
        elif isinstance(row, Ranking):
            named = tuple(replace(r, id=response_id(r)) for r in row.responses)
            yield replace(row, id=f"q{number}", responses=named)
        else:
            response = replace(row.response, id=response_id(row.response))
            yield replace(row, id=f"q{number}", response=response)


def response_id(response: Response) -> str:
    """The same for the same text to the same prompt."""
    return content_hash(response.prompt.id, response.text)
