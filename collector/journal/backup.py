"""Backups: a consistent copy while the daemon writes, and the way back."""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from collector.errors import (
    AlreadyRunning,
    JournalCorrupt,
    JournalError,
    JournalIOError,
    PathTaken,
)
from collector.journal import succession
from collector.journal.connection import translated, wal_of
from collector.journal.verifying import reading, verify
from collector.lock import LockFile

PAGES: Final = 1024
"""Pages copied between two reports of progress."""
_COMPANIONS: Final = ("-wal", "-shm", "-journal")
"""What SQLite appends to a database's name for the files beside it."""

Progress = Callable[[int, int], None]
"""Called with pages copied and pages in all."""


def backup(source: Path, target: Path, progress: Progress = lambda done, total: None) -> None:
    """Copy the journal at `source` to `target` as it is now, daemon or no daemon.

    The copy is one snapshot: what is recorded meanwhile is not in it. `target` may be an older
    backup, which is replaced in one step; anything else there is left alone (`PathTaken`), above all
    a journal that is in use. Raises `JournalError`.
    """
    _check_free(target, source)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        with reading(source) as connection, translated(target):
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640))
            with closing(sqlite3.connect(temporary)) as copy:
                connection.execute("BEGIN")
                connection.execute("SELECT count(*) FROM facts").fetchone()
                connection.backup(copy, pages=PAGES, progress=_counted(progress))
                connection.execute("ROLLBACK")
                copy.execute("PRAGMA journal_mode = DELETE")
                copy.execute("DELETE FROM facts WHERE name = 'running_since'")
                copy.commit()
        _settle(temporary, target)
    except OSError as error:
        raise JournalIOError(f"{target}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def restore(source: Path, journal: Path) -> Path | None:
    """Put a backup in the journal's place, with no daemon running; returns where the old one went.

    The restored journal gets a new id, since seqs after the backup will be handed out again: a
    reader with a cursor learns that it must start anew. It keeps the backup's ledger, and names the
    journal that it replaces and how far that had come. Raises `AlreadyRunning`, `JournalError`.
    """
    if not source.is_file():
        raise JournalIOError(f"{source}: there is no such file")
    journal.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    with LockFile(f"{journal}.lock"):
        problems = verify(source)
        if problems:
            raise JournalCorrupt(f"{source} is damaged and was not restored: {problems[0]}")
        temporary = journal.with_name(f".{journal.name}.{os.getpid()}.new")
        try:
            backup(source, temporary)
            old = succession.describe(journal, time.time()) if journal.exists() else None
            with translated(temporary), closing(sqlite3.connect(temporary)) as copy:
                succession.note(copy, old)
                copy.execute(
                    "INSERT OR REPLACE INTO facts VALUES ('journal_id', ?)", (str(uuid.uuid4()),)
                )
                copy.commit()
            aside = _put_aside(journal)
            _settle(temporary, journal)
        finally:
            temporary.unlink(missing_ok=True)
    return aside


def _check_free(target: Path, source: Path) -> None:
    """Raise `PathTaken` where a copy would harm what is there, or be harmed by it."""
    if target.exists() and source.exists() and target.samefile(source):
        raise PathTaken(f"{target} is the journal itself; choose another file")
    if target.name.endswith(_COMPANIONS):
        raise PathTaken(f"{target} is a name that SQLite keeps for itself; choose another")
    if target.exists() and not _is_journal(target):
        raise PathTaken(f"{target} exists and is not a journal; choose another file")
    if os.path.exists(f"{target}.lock"):
        _check_unheld(target)
    if wal_of(target).exists() and wal_of(target).stat().st_size:
        raise PathTaken(
            f"{target} is no backup: {wal_of(target)} is beside it, whose entries are in no other"
            " file; choose another file"
        )


def _check_unheld(target: Path) -> None:
    try:
        LockFile(f"{target}.lock").release()
    except AlreadyRunning as held:
        raise PathTaken(
            f"{target} is the journal of a running daemon (pid {held.pid}); choose another file"
        ) from held


# ── files ───────────────────────────────────────────────────────────────────────────────────────


def _is_journal(path: Path) -> bool:
    try:
        with reading(path):
            return True
    except JournalError:
        return False


def _counted(progress: Progress) -> Callable[[int, int, int], None]:
    return lambda status, remaining, total: progress(total - remaining, total)


def _settle(temporary: Path, target: Path) -> None:
    """Make a finished file durable under its final name."""
    _sync(temporary, os.O_RDONLY)
    temporary.rename(target)
    _sync(target.parent, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put_aside(journal: Path) -> Path | None:
    """Move the journal that is there out of the way, its write-ahead log with it."""
    if not journal.exists():
        return None
    stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = journal.with_name(f"{journal.name}.before-restore-{stamp}")
    for part in ("", "-wal", "-shm"):
        file = journal.with_name(journal.name + part)
        if file.exists():
            file.rename(aside.with_name(aside.name + part))
    return aside
