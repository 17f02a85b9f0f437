"""One answer from one moment of the journal, within its time."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from collector.errors import QueryTimeout
from collector.journal.connection import UNREADABLE, translate, unreadable
from collector.journal.finding import Row
from collector.journal.planning import Fetch

_PROGRESS_STEPS: Final = 10_000
"""SQLite instructions between two looks at the clock."""

Answer = TypeVar("Answer")


class Snapshot:
    """One read transaction of at most `seconds`, in the thread of the connection that it is given."""

    def __init__(self, path: Path, seconds: float) -> None:
        self._path, self._seconds = path, seconds
        self._deadline = float("inf")
        self._connection: sqlite3.Connection

    def answer(self, connection: sqlite3.Connection, question: Callable[[Fetch], Answer]) -> Answer:
        """Work out an answer. Raises `QueryTimeout`, `JournalError`, and what `question` raises."""
        self._connection = connection
        if self._deadline > 0:
            self._deadline = time.monotonic() + self._seconds
        connection.set_progress_handler(self._overdue, _PROGRESS_STEPS)
        try:
            self.fetch("BEGIN", ())
            return question(self.fetch)
        except UNREADABLE as error:
            raise unreadable(self._path, error) from error
        finally:
            connection.set_progress_handler(None, 0)
            if connection.in_transaction:
                connection.rollback()

    def fetch(self, sql: str, values: Sequence[Any]) -> list[Row]:
        """All rows of one SELECT."""
        if self._overdue():
            raise self._timeout()
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
                raise self._timeout() from error
            raise translate(error, self._path) from error

    def abandon(self) -> None:
        """Nobody waits for the answer any more: end soon. May be called from any thread."""
        self._deadline = 0.0

    def _overdue(self) -> int:
        return int(time.monotonic() > self._deadline)

    def _timeout(self) -> QueryTimeout:
        return QueryTimeout(
            f"the query took longer than {self._seconds:g} s; narrow it by time or a filter"
        )
