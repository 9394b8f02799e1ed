"""The ledger: every prompt, response, query, answer and finished stage of a run, in SQLite.

Written by the one process that holds the run folder; read by anyone, at any time (WAL). A commit
is on disk before the next stage sees what it holds.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, Table, func, select, text
from sqlalchemy.dialects.sqlite import insert

from prefloop.store import schema
from prefloop.store.database import LedgerError, Transaction, connect, damaged
from prefloop.store.rows import answer_row, now, prompt_key, prompt_row, response_of, response_row
from prefloop.store.schema import (
    answers,
    draws,
    logps,
    prompts,
    queries,
    responses,
    scores,
    stages,
)
from prefloop.types import Answer, Preference, Query, Response

OWN_ANSWERS = ("asserted", "unasked")
"""oracles by whose names a run answers itself"""


class Ledger:
    """The committed state of a run. Open it with `Ledger.create` or `Ledger.open`."""

    def __init__(self, path: Path, engine: Engine) -> None:
        self.path = path
        self._engine = engine

    @classmethod
    def create(cls, path: Path) -> "Ledger":
        """The ledger at `path` for writing, made if it is not there."""
        ledger = cls(path, connect(path, readonly=False))
        with ledger._or_closed():
            with ledger._begin() as db:
                if _schema_of(db) is None:
                    schema.metadata.create_all(db)
                    row = {"key": "schema", "value": str(schema.SCHEMA)}
                    db.execute(insert(schema.meta).values(row))
            ledger._check()
        return ledger

    @classmethod
    def open(cls, path: Path) -> "Ledger":
        """The ledger at `path` for reading, beside whoever writes it."""
        if not path.exists():
            raise LedgerError(f"there is no ledger at {path}; has this run started?")
        ledger = cls(path, connect(path, readonly=True))
        with ledger._or_closed():
            ledger._check()
        return ledger

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _or_closed(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _check(self) -> None:
        with self._begin() as db:
            state, found = db.execute(text("PRAGMA quick_check")).scalar(), _schema_of(db)
        if state != "ok":
            raise damaged(self.path, state)
        if found != str(schema.SCHEMA):
            raise LedgerError(
                f"{self.path} has schema {found}, this prefloop reads {schema.SCHEMA}; "
                "continue it with the version of prefloop that its versions.json names"
            )

    def _begin(self, *, synced: bool = True) -> Transaction:
        return Transaction(self.path, self._engine, synced=synced)

    # --- stages: what is finished ------------------------------------------------------------

    def finished(self, round: int, stage: str) -> dict[str, Any] | None:
        """What the stage left behind when it was committed, None if it was not."""
        query = select(stages.c.detail).where(stages.c.round == round, stages.c.stage == stage)
        with self._begin() as db:
            return db.execute(query).scalar_one_or_none()

    def finish(self, round: int, stage: str, detail: dict[str, Any]) -> None:
        """Commit that a stage is done; the same stage may be committed once only."""
        row = {"round": round, "stage": stage, "detail": detail, "committed_at": now()}
        with self._begin() as db:
            db.execute(stages.insert().values(row))

    def details(self, stage: str) -> list[dict[str, Any]]:
        """What that stage left behind in every round, in order."""
        query = select(stages.c.detail).where(stages.c.stage == stage).order_by(stages.c.round)
        with self._begin() as db:
            return list(db.execute(query).scalars())

    # --- prompts and responses ---------------------------------------------------------------

    def drawn(self, round: int, purpose: str, chunk: int) -> bool:
        """Has this chunk of responses been committed?"""
        return self._draw_id(round, purpose, chunk) is not None

    def add_draw(
        self,
        round: int,
        purpose: str,
        chunk: int,
        drawn: Sequence[Response],
        *,
        version: int,
        settings: dict[str, Any],
        seed: str,
        seconds: float,
        template: str,
    ) -> None:
        """Commit one chunk of responses, with the prompts they answer and how they were drawn."""
        draw = {
            "round": round,
            "purpose": purpose,
            "chunk": chunk,
            "policy_version": version,
            "settings": settings,
            "seed": seed,
            "seconds": seconds,
            "drawn_at": now(),
        }
        asked = {prompt_key(r.prompt): r.prompt for r in drawn}
        with self._begin() as db:
            known = insert(prompts).on_conflict_do_nothing()
            if asked:
                db.execute(known, [prompt_row(p, template) for p in asked.values()])
            number = db.execute(draws.insert().values(draw)).inserted_primary_key
            assert number is not None
            if drawn:
                rows = [response_row(r, number[0], i) for i, r in enumerate(drawn)]
                db.execute(responses.insert(), rows)

    def responses(self, round: int, purpose: str, chunk: int | None = None) -> list[Response]:
        """The committed responses of a round, in the order they were drawn."""
        where = [draws.c.round == round, draws.c.purpose == purpose]
        if chunk is not None:
            where.append(draws.c.chunk == chunk)
        query = (
            select(responses, prompts)
            .join(draws, responses.c.draw == draws.c.id)
            .join(prompts, responses.c.prompt == prompts.c.key)
            .where(*where)
            .order_by(draws.c.chunk, responses.c.place)
        )
        with self._begin() as db:
            return [response_of(row._mapping) for row in db.execute(query)]

    def _draw_id(self, round: int, purpose: str, chunk: int) -> int | None:
        query = select(draws.c.id).where(
            draws.c.round == round, draws.c.purpose == purpose, draws.c.chunk == chunk
        )
        with self._begin() as db:
            return db.execute(query).scalar_one_or_none()

    # --- queries and answers -----------------------------------------------------------------

    def add_queries(self, round: int, asked: Sequence[Query], detail: dict[str, Any]) -> None:
        """Commit what will be asked this round, in order, and that choosing is done."""
        rows = [
            {
                "id": q.id,
                "round": round,
                "place": i,
                "prompt": prompt_key(q.prompt),
                "a": q.a.id,
                "b": q.b.id,
            }
            for i, q in enumerate(asked)
        ]
        done = {"round": round, "stage": "choose", "detail": detail}
        with self._begin() as db:
            if rows:
                db.execute(queries.insert(), rows)
            db.execute(stages.insert().values({**done, "committed_at": now()}))

    def queries(self, round: int) -> list[Query]:
        """The round's committed queries, in order."""
        return [p for p, _ in self._asked(round)]

    def preferences(self, round: int) -> list[Preference]:
        """The round's answered queries, in query order; missing labels are left out."""
        return [Preference(query=q, p=p) for q, p in self._asked(round) if p is not None]

    def add_answers(self, answered: Iterable[Answer], *, synced: bool = True) -> None:
        """Commit answers, with what the oracle said and what it cost.

        Unless `synced`, they outlive this process but perhaps not a power cut before the next
        commit that is: waiting for a disk costs more than a fast oracle does.
        """
        rows = [answer_row(a) for a in answered]
        if rows:
            with self._begin(synced=synced) as db:
                db.execute(answers.insert(), rows)

    def answered(self, round: int) -> set[str]:
        """The ids of the round's queries that have an answer."""
        query = (
            select(answers.c.query)
            .join(queries, answers.c.query == queries.c.id)
            .where(queries.c.round == round, answers.c.p.is_not(None))
        )
        with self._begin() as db:
            return set(db.execute(query).scalars())

    def reasons(self, ids: Sequence[str]) -> list[str]:
        """Why the last attempt at each of these queries gave no answer."""
        last = (
            select(func.max(answers.c.id)).where(answers.c.query.in_(ids)).group_by(answers.c.query)
        )
        query = select(answers.c.missing).where(
            answers.c.id.in_(last), answers.c.missing.is_not(None)
        )
        with self._begin() as db:
            return list(db.execute(query).scalars())

    def spent(self) -> float:
        """What all labels have cost so far."""
        with self._begin() as db:
            return float(
                db.execute(select(func.coalesce(func.sum(answers.c.cost), 0.0))).scalar_one()
            )

    def labels(self) -> tuple[int, int]:
        """(queries answered by somebody, answers that were missing) in the whole run.

        What a run told itself is no label; what was free of charge is one.
        """
        answered = select(func.count(func.distinct(answers.c.query))).where(
            answers.c.p.is_not(None), answers.c.oracle.not_in(OWN_ANSWERS)
        )
        missing = select(func.count()).where(answers.c.p.is_(None))
        with self._begin() as db:
            return db.execute(answered).scalar_one(), db.execute(missing).scalar_one()

    def _asked(self, round: int) -> list[tuple[Query, float | None]]:
        known = {r.id: r for r in self.responses(round, "train")}
        answered = select(answers.c.query, answers.c.p).where(answers.c.p.is_not(None)).subquery()
        query = (
            select(queries.c.id, queries.c.a, queries.c.b, answered.c.p)
            .outerjoin(answered, answered.c.query == queries.c.id)
            .where(queries.c.round == round)
            .order_by(queries.c.place)
        )
        with self._begin() as db:
            rows = db.execute(query).all()
        return [
            (Query(prompt=known[a].prompt, a=known[a], b=known[b], id=name), p)
            for name, a, b, p in rows
        ]

    # --- what it took ------------------------------------------------------------------------

    def drawing(self, round: int) -> tuple[int, float]:
        """(tokens, seconds) that drawing the round's training responses took."""
        size = func.coalesce(func.sum(func.length(responses.c.tokens) / 4), 0)
        mine = (draws.c.round == round, draws.c.purpose == "train")
        tokens = select(size).join(draws, responses.c.draw == draws.c.id).where(*mine)
        drawn = tokens.where(responses.c.source != "dataset")
        seconds = select(func.coalesce(func.sum(draws.c.seconds), 0.0)).where(*mine)
        with self._begin() as db:
            return int(db.execute(drawn).scalar_one()), float(db.execute(seconds).scalar_one())

    def shared_prompts(self, purpose: str, other: str) -> int:
        """How many prompts were drawn from for both purposes."""

        def of(kind: str) -> Select[tuple[str]]:
            joined = select(prompts.c.id).join(responses, responses.c.prompt == prompts.c.key)
            return joined.join(draws, responses.c.draw == draws.c.id).where(draws.c.purpose == kind)

        both = of(purpose).intersect(of(other)).subquery()
        with self._begin() as db:
            return int(db.execute(select(func.count()).select_from(both)).scalar_one())

    # --- numbers about responses -------------------------------------------------------------

    def logps(self, model: str, ids: Iterable[str]) -> dict[str, float]:
        """response id → log π_model(response), for those that are known."""
        return self._values(logps, logps.c.model == model, ids)

    def add_logps(self, model: str, values: dict[str, float]) -> None:
        """Commit log-probabilities of responses under a frozen model."""
        self._add_values(logps, {"model": model}, values)

    def scores(self, scorer: str, ids: Iterable[str]) -> dict[str, float]:
        """response id → the scorer's score, for those that are known."""
        return self._values(scores, scores.c.scorer == scorer, ids)

    def add_scores(self, scorer: str, values: dict[str, float]) -> None:
        """Commit what a scorer said of responses."""
        self._add_values(scores, {"scorer": scorer}, values)

    def _values(
        self, table: Table, where: ColumnElement[bool], ids: Iterable[str]
    ) -> dict[str, float]:
        wanted = set(ids)
        with self._begin() as db:
            rows = db.execute(select(table.c.response, table.c.value).where(where))
            return {row[0]: row[1] for row in rows if row[0] in wanted}

    def _add_values(self, table: Table, by: dict[str, str], values: dict[str, float]) -> None:
        rows = [{"response": r, "value": v, **by} for r, v in values.items()]
        if rows:
            with self._begin() as db:
                db.execute(insert(table).on_conflict_do_nothing(), rows)


def _schema_of(db: Connection) -> str | None:
    """The schema number; None where the tables are not there yet, or not all of them."""
    if not db.dialect.has_table(db, schema.meta.name):
        return None
    number = select(schema.meta.c.value).where(schema.meta.c.key == "schema")
    return db.execute(number).scalar_one_or_none()
