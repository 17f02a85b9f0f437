"""What a start does with the log that the last end left, before anything is acknowledged.

An end that was not clean may have been one for a sync that failed: programs read from the log what the
disk does not have, and what is appended behind it would be lost with it at a power cut (seen at 39 of
61 crash points). So the log is written again and synced before anything else is written, and emptied.

A clean stop leaves a mark in its last synced commit. Where it stands the log is whole, and nothing is
waited for. See `docs/decisions/0008-a-sync-that-failed.md`.
"""

from __future__ import annotations

import errno
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from collector.errors import (
    EXIT_IOERR,
    EXIT_NOPERM,
    JournalBusy,
    JournalIOError,
    JournalTorn,
)
from collector.journal.completeness import CLEAN
from collector.journal.holders import described, holders
from collector.journal.wal import copy_again, wal_of, write_again, write_all_again
from collector.journal.wal_index import WalIndex

PATIENCE: Final = 5.0
"""Seconds that the first checkpoint waits for readers to leave; see RELIABILITY in `docs/`."""
RETRY: Final = 0.05
"""Seconds between two of its tries."""

_log = logging.getLogger(__name__)


def write_log_again(connection: sqlite3.Connection, path: Path) -> None:
    """Make the log that is there durable, to its end. Raises `JournalIOError`, `JournalBusy`."""
    wal = wal_of(path)
    try:
        if not wal.exists() or not wal.stat().st_size:
            return
        connection.execute("BEGIN IMMEDIATE")  # nobody else writes meanwhile
        try:
            end = WalIndex(path).position()
            if end is None:
                write_all_again(wal)
            elif end.frames:
                write_again(wal, end, 0)
                copy_again(path, end)
        finally:
            connection.execute("ROLLBACK")
    except JournalTorn as torn:
        # Without a reader the index would have been made anew, from what the file holds.
        raise JournalBusy(
            f"{torn}: {described(holders(path))} keeps an index of it; end it and start again"
        ) from torn
    except OSError as error:
        code = EXIT_NOPERM if error.errno in (errno.EACCES, errno.EPERM) else EXIT_IOERR
        raise JournalIOError(f"{wal}: {error.strerror}", code) from error


def take_over(
    connection: sqlite3.Connection,
    path: Path,
    patience: float,
    monotonic: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    """Empty the log, if need be, and make the first commit, which removes the mark of a clean stop.

    Raises `JournalBusy` where the log cannot be emptied within `patience` seconds and has to be.
    """
    clean = is_clean(connection)
    held = not emptied(connection, 0.0 if clean else patience, monotonic, sleep)
    if held and not clean:
        raise JournalBusy(
            f"{path}: a reader holds an old snapshot: {described(holders(path))};"
            " end it and start again"
        )
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT OR REPLACE INTO facts VALUES ('opened', 1)")
    connection.execute("DELETE FROM facts WHERE name = ?", (CLEAN,))
    connection.execute("COMMIT")
    if clean:  # a copy of the main file alone must not look as if it ended here
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    if held:
        _log.warning(
            "%s: a reader holds a snapshot: %s; the write-ahead log grows until it leaves",
            path,
            described(holders(path)),
        )


def is_clean(connection: sqlite3.Connection) -> bool:
    """Whether a journal bears the mark of a clean stop, or of a whole copy."""
    row = connection.execute("SELECT 1 FROM facts WHERE name = ?", (CLEAN,)).fetchone()
    return row is not None


def mark_clean(connection: sqlite3.Connection) -> None:
    """Mark a journal as whole, in the current transaction: nothing may be written after it."""
    connection.execute("INSERT OR REPLACE INTO facts VALUES (?, 1)", (CLEAN,))


def emptied(
    connection: sqlite3.Connection,
    patience: float,
    monotonic: Callable[[], float],
    sleep: Callable[[float], None],
) -> bool:
    """Empty the log into the database; False where readers keep it from that for so many seconds."""
    deadline = monotonic() + patience
    while True:
        try:
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            busy = 1
        if not busy:
            return True
        if monotonic() >= deadline:
            return False
        sleep(RETRY)
