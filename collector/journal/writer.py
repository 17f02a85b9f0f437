"""The writer: the one connection that changes the journal, driven synchronously by the event loop.

A transaction is `begin`, any number of `insert`s and side tables, `commit`. What is in memory (the
next seq, the tail's ids, the dictionaries' caches) changes only when the commit has returned.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from collector.core.admission import COMMON, Row
from collector.core.ids import TAG_BITS
from collector.event import Entry
from collector.journal.books import SqlBooks
from collector.journal.connection import (
    UNREADABLE,
    WAL_BYTES,
    open_writer,
    refusable,
    translate,
    translated,
    unreadable,
    wal_of,
)
from collector.journal.cursors import cursor_fact
from collector.journal.id_index import SECRET
from collector.journal.known_ids import KnownIds
from collector.journal.rows import SELECT, entry

COLUMNS: Final = 18
_ID: Final = "CAST(? AS BLOB)"
"""'' becomes an empty blob; see `core.admission.Row`."""
_INSERT: Final = f"INSERT INTO log VALUES (?, {_ID}, {', '.join('?' * (COLUMNS - 2))})"
_INSERT_COMMON: Final = (
    f"INSERT INTO log VALUES (?, {_ID}, ?, ?, ?, ?, ?, ?, 0, ?, ?, 0, 0, '', ?, '', ?, ?)"
)
"""Binding is what an insert costs most, so the columns that are nearly always empty are not bound."""
PAGE: Final = 4096
ROWS_A_PAGE: Final = 35
"""Rows without long texts that fit into a page of the log, about."""


class Journal:
    """An open journal. Create with `Journal.open`; close with `close`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.path = path
        self._wal = os.fspath(wal_of(path))
        self.connection = connection
        self.frames = 0.0
        """Pages written to the write-ahead log since it was last checkpointed, about."""
        self.books = SqlBooks(connection)
        self.new = self.fact("journal_id") is None
        if self.new:
            self._found()
        self.id: str = self.fact("journal_id")
        self.tag: int = self.fact("tag")
        self.hmac_key: bytes = self.fact("hmac_key")
        self.last_seq: int = self._last_seq()
        self.ids = KnownIds(
            connection, path, cursor=self.cursor("ids"), tag=self.tag, secret=self.fact(SECRET)
        )

    @classmethod
    def open(cls, path: Path, *, patience: float = 5.0) -> Journal:
        """The journal at `path`, made where it is missing. Raises `JournalError`, `PathTaken`."""
        connection = open_writer(path, patience=patience)
        try:
            with translated(path):
                return cls(connection, path)
        except UNREADABLE as error:
            connection.close()
            raise unreadable(path, error) from error
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Checkpoint and close, leaving a database that a reader needs no write access to read."""
        try:
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self.connection.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.Error:
            pass  # a reader is there; the next start checkpoints, and its own connection reads on
        self.connection.close()

    # ── facts ───────────────────────────────────────────────────────────────────────────────────

    def fact(self, name: str, default: Any = None) -> Any:
        """One of the journal's facts, or `default`. Raises `JournalError`."""
        with translated(self.path):
            row = self.connection.execute(
                "SELECT value FROM facts WHERE name = ?", (name,)
            ).fetchone()
        return default if row is None else row[0]

    def set_fact(self, name: str, value: Any) -> None:
        """Store a fact, within the current transaction where there is one."""
        self.connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def delete_fact(self, name: str) -> None:
        """Remove a fact."""
        self.connection.execute("DELETE FROM facts WHERE name = ?", (name,))

    def cursor(self, follower: str) -> int:
        """The last seq that a follower has derived from."""
        cursor: int = self.fact(cursor_fact(follower), 0)
        return cursor

    def _found(self) -> None:
        with self.transaction():
            self.set_fact("journal_id", str(uuid.uuid4()))
            self.set_fact("tag", secrets.randbits(TAG_BITS))
            self.set_fact("hmac_key", secrets.token_bytes(32))
            self.set_fact(SECRET, secrets.token_bytes(16))

    def _last_seq(self) -> int:
        newest: int = self.connection.execute("SELECT max(seq) FROM log").fetchone()[0] or 0
        floor: int = self.fact("last_seq", 0)
        return max(newest, floor)

    # ── transactions ────────────────────────────────────────────────────────────────────────────

    def begin(self) -> None:
        """Start a transaction. Raises `JournalError`."""
        try:
            self.connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise translate(error, self.path) from error

    def insert(self, rows: Sequence[Row]) -> None:
        """Append rows of one length, within a transaction. Raises `RowRefused`, `JournalError`."""
        sql = _INSERT_COMMON if len(rows[0]) == COMMON else _INSERT
        with translated(self.path), refusable():
            self.connection.executemany(sql, rows)
        self.frames += len(rows) / ROWS_A_PAGE

    def commit(self) -> None:
        """End the transaction; when this returns it is on the disk. Raises `JournalError`."""
        try:
            self.connection.execute("COMMIT")
            self.frames += 1
        except sqlite3.Error as error:
            raise translate(error, self.path) from error

    def rollback(self) -> None:
        """Leave the transaction, if SQLite has not already left it, and forget what it brought."""
        self.books.forget()
        if self.connection.in_transaction:
            try:
                self.connection.execute("ROLLBACK")
            except sqlite3.Error:
                pass  # an I/O error while rolling back: SQLite has left the transaction

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """`begin`, the body, `commit`; `rollback` where anything raises. Raises `JournalError`."""
        self.begin()
        try:
            yield
            self.commit()
        except sqlite3.Error as error:
            self.rollback()
            raise translate(error, self.path) from error
        except BaseException:
            self.rollback()
            raise

    def committed(self, last_seq: int, ids: dict[bytes, int]) -> None:
        """Take over what a commit made true: the last seq and the ids that producers chose."""
        self.last_seq = last_seq
        if ids:
            self.ids.committed(ids)

    def checkpoint(self) -> bool:
        """Copy what the write-ahead log holds into the database; whether all of it could be.

        A reader on an old snapshot keeps the rest for a later time. Raises `JournalError`.
        """
        with translated(self.path):
            row = self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        busy, frames, copied = row
        self.frames = max(0, frames - copied)
        return not busy and frames == copied

    def wal_is_long(self, frames: float) -> bool:
        """Whether a checkpoint is due: after so many frames by count, or by the length of the file.

        The count is an estimate from rows of the usual size. The length alone says nothing, since the
        file is not cut before its next use.
        """
        return self.frames >= frames or (
            self.frames >= frames / 16 and self.wal_bytes() > WAL_BYTES
        )

    def wipe(self) -> bool:
        """Checkpoint and empty the write-ahead log's file, where old pages linger; whether it worked.

        It does not while a reader is in the midst of an answer. Raises `JournalError`.
        """
        if not self.checkpoint():
            return False
        try:
            busy = self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                return False
            raise translate(error, self.path) from error
        return not busy

    # ── devices ─────────────────────────────────────────────────────────────────────────────────

    def devices(self) -> list[dict[str, Any]]:
        """Every row of the device registry."""
        rows = self.connection.execute("SELECT body FROM devices ORDER BY id")
        return [msgspec.json.decode(body) for (body,) in rows]

    def put_devices(self, devices: Iterable[dict[str, Any]]) -> None:
        """Store registry rows by their `id`, within the current transaction; forgotten ones go."""
        for row in devices:
            if row.get("forgotten"):
                self.connection.execute("DELETE FROM devices WHERE id = ?", (row["id"],))
            else:
                body = msgspec.json.encode(row).decode()
                self.connection.execute(
                    "INSERT OR REPLACE INTO devices VALUES (?, ?)", (row["id"], body)
                )

    # ── entries ─────────────────────────────────────────────────────────────────────────────────

    def entries(self, first: int, last: int) -> list[Entry]:
        """The entries of a short range of seqs, both ends included, oldest first."""
        rows = self.connection.execute(
            f"{SELECT} WHERE log.seq BETWEEN ? AND ? ORDER BY log.seq", (first, last)
        )
        return [entry(row, self.tag) for row in rows]

    def recorded_at(self, seq: int) -> int | None:
        """When an entry was recorded, in µs; None where it is not stored."""
        row = self.connection.execute(
            "SELECT occurred_at + delay FROM log WHERE seq = ?", (seq,)
        ).fetchone()
        return None if row is None else row[0]

    # ── size ────────────────────────────────────────────────────────────────────────────────────

    def first_seq(self) -> int:
        """The oldest stored seq; one past the last where the log is empty."""
        with translated(self.path):
            first = self.connection.execute("SELECT min(seq) FROM log").fetchone()[0]
        return self.last_seq + 1 if first is None else first

    def wal_bytes(self) -> int:
        """Size of the write-ahead log file."""
        try:
            return os.stat(self._wal).st_size
        except OSError:
            return 0

    def page_bytes(self) -> tuple[int, int]:
        """Bytes of pages in use, and of pages on the free list."""
        run = self.connection.execute
        with translated(self.path):
            size = run("PRAGMA page_size").fetchone()[0]
            free = run("PRAGMA freelist_count").fetchone()[0]
            return (run("PRAGMA page_count").fetchone()[0] - free) * size, free * size
