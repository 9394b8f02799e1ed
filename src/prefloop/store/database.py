"""The ledger's database: SQLite in WAL mode, with errors that say what to do."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DatabaseError, IntegrityError


class LedgerError(RuntimeError):
    """The ledger cannot be read or written: says which file, why and what to do."""


def damaged(path: Path, reason: object) -> LedgerError:
    """The error for a file that is no longer a sound database."""
    return LedgerError(
        f"{path} cannot be used ({reason}); nothing was changed. Restore a copy, or "
        f"save what can be read: sqlite3 {path.name} .recover"
    )


class Transaction:
    """A transaction whose database errors say which ledger, and what to do.

    A `synced` one survives a power cut; another survives at least the death of this process.
    """

    def __init__(self, path: Path, engine: Engine, *, synced: bool) -> None:
        self._path = path
        self._synced = synced
        self._context = engine.begin()

    def __enter__(self) -> Connection:
        with self._explained():
            db = self._context.__enter__()
            db.execute(text(f"PRAGMA synchronous = {'FULL' if self._synced else 'NORMAL'}"))
            return db

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        with self._explained():
            self._context.__exit__(kind, error, trace)
        if isinstance(error, DatabaseError) and not isinstance(error, IntegrityError):
            raise self._explain(error) from error

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise  # a mistake of the caller's, not of the file's
        except DatabaseError as error:
            raise self._explain(error) from error

    def _explain(self, error: DatabaseError) -> LedgerError:
        reason = str(error.orig)
        if "full" in reason or "disk I/O" in reason:
            return LedgerError(
                f"{self._path} cannot grow ({reason}); all that was committed is safe. "
                "Free some space, then run the same command again"
            )
        if "locked" in reason:
            return LedgerError(
                f"{self._path} is locked by another program; close what else writes to it, then "
                "run the same command again"
            )
        return damaged(self._path, reason)


def connect(path: Path, *, readonly: bool) -> Engine:
    options = {"mode": "ro" if readonly else "rwc", "uri": "true"}
    url = URL.create("sqlite", database=f"file:{quote(str(path))}", query=options)
    engine = create_engine(url, connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def settle(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        if not readonly:
            connection.execute("PRAGMA journal_mode = WAL")

    return engine
