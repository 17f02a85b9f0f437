"""Backups: a consistent copy while the daemon writes, the way back, and the journal's own integrity."""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from collector.errors import JournalCorrupt, JournalError, JournalIOError, JournalTooNew, PathTaken
from collector.journal.connection import (
    APPLICATION_ID,
    SCHEMA_VERSION,
    translated,
    wal_of,
)
from collector.journal.followers.words import checksum
from collector.journal.postings import CHUNK_BITS
from collector.lock import LockFile

PAGES: Final = 1024
"""Pages copied between two reports of progress."""
PROBLEMS_MAX: Final = 100
_ROWS: Final = 1 << CHUNK_BITS

Progress = Callable[[int, int], None]
"""Called with pages copied and pages in all."""


def backup(source: Path, target: Path, progress: Progress = lambda done, total: None) -> None:
    """Copy the journal at `source` to `target` as it is now, daemon or no daemon.

    The copy is one snapshot: what is recorded meanwhile is not in it. `target` may be an older
    backup, which is replaced in one step; anything else there is left alone (`PathTaken`).
    Raises `JournalError`.
    """
    if target.exists() and not _is_journal(target):
        raise PathTaken(f"{target} exists and is not a journal; choose another file")
    temporary = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        with _reading(source) as connection, translated(target):
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
    reader with a cursor learns that it must start anew. Raises `AlreadyRunning`, `JournalError`.
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
            with translated(temporary), closing(sqlite3.connect(temporary)) as copy:
                copy.execute(
                    "INSERT OR REPLACE INTO facts VALUES ('journal_id', ?)", (str(uuid.uuid4()),)
                )
                copy.commit()
            aside = _put_aside(journal)
            _settle(temporary, journal)
        finally:
            temporary.unlink(missing_ok=True)
    return aside


def verify(path: Path) -> list[str]:
    """What is wrong with the journal at `path`, in words; empty where nothing is.

    Checks SQLite's own structure, the checksum of every 1,024 entries that have one, that every
    hole in the seqs is accounted for, and that the log refers to nothing that is missing.
    Raises `JournalError` where it cannot be read at all.
    """
    with _reading(path) as connection:
        connection.execute("BEGIN")
        problems: list[str] = []
        for problem in _problems(connection):
            problems.append(problem)
            if len(problems) >= PROBLEMS_MAX:
                problems.append("… and more")
                break
    return problems


# ── checks ──────────────────────────────────────────────────────────────────────────────────────


def _problems(connection: sqlite3.Connection) -> Iterator[str]:
    try:
        for (line,) in connection.execute("PRAGMA integrity_check"):
            if line != "ok":
                yield f"SQLite: {line}"
        yield from _checksums(connection)
        yield from _holes(connection)
        yield from _references(connection)
    except sqlite3.DatabaseError as error:
        yield f"SQLite: {error}"


def _checksums(connection: sqlite3.Connection) -> Iterator[str]:
    for chunk, total in connection.execute("SELECT chunk, total FROM checksums ORDER BY chunk"):
        first = chunk << CHUNK_BITS
        rows = connection.execute(
            "SELECT * FROM log WHERE seq BETWEEN ? AND ?", (first, first + _ROWS - 1)
        )
        if sum(map(checksum, rows)) != total:
            yield f"entries {first} to {first + _ROWS - 1} are not what was recorded (checksum)"


def _holes(connection: sqlite3.Connection) -> Iterator[str]:
    """Seqs that are missing and that no `events.pruned` or `events.cleared` speaks of.

    Such entries are themselves pruned in time, while older ones of other categories may stay. So
    before the oldest of them that is left, only the number of missing entries is held to account.
    """
    pruned, oldest = _pruned(connection)
    gaps = connection.execute(
        "SELECT before + 1, seq - 1 FROM (SELECT seq, lag(seq, 1, 0) OVER (ORDER BY seq) AS before"
        " FROM log) WHERE seq > before + 1"
    )
    for first, last in gaps:
        accounted = last < oldest or any(low <= first and last <= high for low, high in pruned)
        if not accounted:
            yield f"entries {first} to {last} are missing and no pruning accounts for them"
    first, last, count = connection.execute(
        "SELECT min(seq), max(seq), count(*) FROM log"
    ).fetchone()
    facts = dict(
        connection.execute("SELECT name, value FROM facts WHERE name IN ('holes', 'last_seq')")
    )
    if count:
        missing = max(last, facts.get("last_seq", 0)) + 1 - first - count - facts.get("holes", 0)
        if missing:
            yield f"{abs(missing)} entries {'too few' if missing > 0 else 'too many'} are stored"


def _pruned(connection: sqlite3.Connection) -> tuple[list[tuple[int, int]], int]:
    """Ranges of seqs in which entries may be missing, and the first seq that speaks of one."""
    rows = connection.execute(
        "SELECT seq, action, metadata FROM log JOIN kinds USING (kind)"
        " WHERE action IN ('events.pruned', 'events.cleared')"
        " AND source IN ('collector', 'unix', 'http')"
    )
    ranges: list[tuple[int, int]] = []
    for seq, action, metadata in rows:
        facts: dict[str, Any] = msgspec.json.decode(metadata or "{}")
        low, high = facts.get("from_seq"), facts.get("to_seq")
        if action == "events.cleared":
            ranges.append((1, seq - 1))
        elif isinstance(low, int) and isinstance(high, int):
            ranges.append((low, high))
    pending = connection.execute("SELECT value FROM facts WHERE name = 'pruned.pending'").fetchone()
    if pending is not None:
        open_account: dict[str, Any] = msgspec.json.decode(pending[0])
        ranges.append((open_account["from_seq"], open_account["to_seq"]))
    oldest = _oldest_report(connection)
    first = connection.execute("SELECT min(seq) FROM log").fetchone()[0]
    if first is not None:
        ranges.append((1, first - 1))
    return _merged(ranges), oldest


def _oldest_report(connection: sqlite3.Connection) -> int:
    """Where the account of pruning begins that is still stored; at the end where none is."""
    row = connection.execute(
        "SELECT min(seq), (SELECT value FROM facts WHERE name = 'last_seq') FROM log"
        " JOIN kinds USING (kind) WHERE action IN ('events.pruned', 'events.cleared')"
    ).fetchone()
    if row[0] is not None:
        return int(row[0])
    return 0 if row[1] is None else int(row[1]) + 1


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def _references(connection: sqlite3.Connection) -> Iterator[str]:
    for table, key, column in (
        ("kinds", "kind", "kind"),
        ("producers", "producer", "producer"),
        ("principals", "principal", "actor"),
        ("principals", "principal", "target"),
        ("principals", "principal", "on_behalf_of"),
        ("scopes", "scope", "scope"),
    ):
        row = connection.execute(
            f"SELECT count(*), min(seq) FROM log WHERE {column} <> 0"
            f" AND {column} NOT IN (SELECT {key} FROM {table})"
        ).fetchone()
        if row[0]:
            yield f"{row[0]} entries (the first is {row[1]}) refer to a missing {column}"


# ── files ───────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A read-only connection on a journal of a schema that we know."""
    if not path.is_file():
        raise JournalError(f"{path}: no journal is there")
    mode = "mode=ro" if wal_of(path).exists() or os.access(path.parent, os.W_OK) else "immutable=1"
    with translated(path):
        connection = sqlite3.connect(
            f"file:{quote(os.fspath(path.absolute()))}?{mode}", uri=True, isolation_level=None
        )
        with closing(connection):
            if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                raise JournalCorrupt(f"{path} is not a journal of collector")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise JournalTooNew(f"{path} has schema {version}; upgrade collector to read it")
            yield connection


def _is_journal(path: Path) -> bool:
    try:
        with _reading(path):
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
