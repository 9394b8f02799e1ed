"""The ledger's database: SQLite in WAL mode, with errors that say what to do."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DatabaseError


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
        if isinstance(error, DatabaseError):
            raise self._explain(error) from error

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as error:
            raise self._explain(error) from error

    def _explain(self, error: DatabaseError) -> LedgerError:
        reason = str(error.orig)
        if "full" in reason or "disk I/O" in reason:
            return LedgerError(
                f"{self._path} cannot grow ({reason}); all that was committed is safe. "
                "Free some space, then run the same command again"
            )
        return damaged(self._path, reason)


def connect(path: Path, *, readonly: bool) -> Engine:
    mode = "ro" if readonly else "rwc"
    engine = create_engine(
        f"sqlite:///file:{quote(str(path))}?mode={mode}&uri=true", connect_args={"timeout": 30}
    )

    @event.listens_for(engine, "connect")
    def settle(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        if not readonly:
            connection.execute("PRAGMA journal_mode = WAL")

    return engine
