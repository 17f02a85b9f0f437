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
from typing import Any, Final

from collector.errors import (
    AlreadyRunning,
    JournalError,
    JournalFull,
    JournalIOError,
    PathTaken,
)
from collector.journal import intents, succession
from collector.journal.connection import translated, wal_of
from collector.journal.files import (
    check_before_reading,
    failure,
    make_directory,
    part,
    size_of,
    sync_directory,
    sync_file,
)
from collector.journal.intents import Intent
from collector.journal.rebuilding import rebuild
from collector.journal.recovery import mark_clean
from collector.journal.space import Reserve, with_room
from collector.journal.verifying import doubt_about, reading
from collector.journal.verifying import verify as verify
from collector.lock import LockFile

PAGES: Final = 1024
"""Pages copied between two reports of progress."""
_COMPANIONS: Final = ("-wal", "-shm", "-journal")
"""What SQLite appends to a database's name for the files beside it."""

Progress = Callable[[int, int], None]
"""Called with pages (or tables) copied and those in all."""
Warn = Callable[[str], None]
"""Called with what people should know of a copy that was made."""


def backup(
    source: Path,
    target: Path,
    progress: Progress = lambda done, total: None,
    warn: Warn = lambda doubt: None,
) -> None:
    """Copy the journal at `source` to `target` as it is now, daemon or no daemon.

    The copy is one snapshot: what is recorded meanwhile is not in it. `target` may be an older
    backup, which is replaced in one step; anything else there is left alone (`PathTaken`), above all
    a journal that is in use. Where `source` is itself a copy that may end early, `warn` hears of it,
    and its copy goes on to show it. Raises `JournalError`.
    """
    check_before_reading(source)
    _check_free(target, source)
    temporary = intents.new_file(target)
    try:
        with reading(source) as connection, translated(target):
            doubt = doubt_about(connection, source)
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640))
            with closing(sqlite3.connect(temporary)) as copy:
                connection.execute("BEGIN")
                connection.execute("SELECT count(*) FROM facts").fetchone()
                connection.backup(copy, pages=PAGES, progress=_counted(progress))
                connection.execute("ROLLBACK")
                _seal(copy, doubtful=doubt is not None)
        _settle(temporary, target)
    except OSError as error:
        raise failure(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)
    if doubt is not None:
        warn(doubt)


def _seal(copy: sqlite3.Connection, *, doubtful: bool) -> None:
    """Mark a finished copy as whole; one of a file in doubt stays as it was, so that it shows."""
    if not doubtful:
        copy.execute("PRAGMA journal_mode = DELETE")
        mark_clean(copy)
    copy.execute("DELETE FROM facts WHERE name = 'running_since'")
    copy.commit()


def restore(
    source: Path,
    journal: Path,
    progress: Progress = lambda done, total: None,
    warn: Warn = lambda doubt: None,
) -> Path | None:
    """Put a backup in the journal's place, with no daemon running; returns where the old one went.

    The restored journal gets a new id, since seqs after the backup will be handed out again: a
    reader with a cursor learns that it must start anew. It is built anew, see `rebuilding`, keeps the
    backup's ledger, and names the journal that it replaces and how far that had come; the next start
    records that it was restored. `warn` hears that it may end early. Raises `AlreadyRunning`,
    `PathTaken`, `JournalError`.
    """
    if size_of(source) is None:
        raise JournalIOError(f"{source}: there is no such file")
    check_before_reading(source)
    if journal.exists() and source.samefile(journal):
        raise PathTaken(f"{source} is the journal itself; name a backup")
    make_directory(journal.parent)
    with LockFile(f"{journal}.lock"):
        reserve = Reserve(journal)
        with_room(reserve, lambda: intents.finish(journal))
        temporary = intents.new_file(journal)
        try:
            doubt = with_room(reserve, lambda: _rebuilt(source, temporary, progress))
            facts = _renew(temporary, journal)
            intent = with_room(reserve, lambda: _put_in_place(source, temporary, journal, facts))
        finally:
            _discard(temporary, journal)
    if doubt is not None:
        warn(doubt)
    return None if intent.aside is None else journal.with_name(intent.aside)


def _rebuilt(source: Path, temporary: Path, progress: Progress) -> str | None:
    """A finished journal in `temporary`, on the disk; whether `source` may end early, in words."""
    try:
        temporary.unlink(missing_ok=True)
        doubt = rebuild(source, temporary, progress)
        sync_file(temporary)
    except JournalFull as error:
        raise JournalFull(
            f"{temporary.parent}: no room to restore {source}", error.needed
        ) from error
    except OSError as error:
        raise failure(temporary, error) from error
    return doubt


def _renew(temporary: Path, replaced: Path) -> dict[str, Any]:
    """Make the journal another than the one that was copied; what the entry about it tells of that.

    `replaced` is the journal whose place it takes, still there or not.
    """
    old = succession.describe(replaced, time.time()) if replaced.exists() else None
    with translated(temporary), closing(sqlite3.connect(temporary)) as copy:
        succession.note(copy, old)
        copy.execute("INSERT OR REPLACE INTO facts VALUES ('journal_id', ?)", (str(uuid.uuid4()),))
        copy.commit()
    return {} if old is None else succession.as_metadata(old)


def _put_in_place(source: Path, temporary: Path, journal: Path, facts: dict[str, Any]) -> Intent:
    stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = intents.free_name(journal, "before-restore", stamp)
    moves = intents.moved_aside(journal, aside)
    return intents.carry_out(
        journal,
        Intent(
            operation="restore",
            aside=aside.name if moves else None,
            source=str(source),
            moves=moves,
            placed=temporary.name,
            removed=[part(journal, ".damaged").name],
            facts=facts,
        ),
    )


def _discard(temporary: Path, journal: Path) -> None:
    """Remove what was not put in place, unless a start has still to do so."""
    intent = intents.pending(journal)
    if intent is None or intent.done:
        temporary.unlink(missing_ok=True)


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
    sync_file(temporary)
    temporary.rename(target)
    sync_directory(target.parent)
