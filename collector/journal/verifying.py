"""Verifying: what is wrong with a journal or a backup of it, found by reading alone.

SQLite's own check misses what only changes content, so the checksums that a follower keeps of every
1,024 entries are compared too, and the seqs, the loss ledger and the references have to add up. No entry
is believed: what `events.pruned` says could be anybody's words.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from collector.errors import JournalCorrupt, JournalError, JournalTooNew
from collector.journal.connection import (
    APPLICATION_ID,
    SCHEMA_VERSION,
    UNREADABLE,
    translated,
    unreadable,
    wal_of,
)
from collector.journal.followers.words import checksum
from collector.journal.ledger import LAST_SEQ, Loss, read_losses
from collector.journal.postings import CHUNK_BITS

PROBLEMS_MAX: Final = 100
LEDGER_VERSION: Final = 4
"""The first schema with a ledger."""
_ROWS: Final = 1 << CHUNK_BITS


def verify(path: Path) -> list[str]:
    """What is wrong with the journal at `path`, in words; empty where nothing is.

    Checks SQLite's own structure, the checksum of every 1,024 entries that have one, that every entry
    is there or in the ledger of removed ones, and that the log refers to nothing that is missing.
    Raises `JournalError` where it cannot be read at all.
    """
    with reading(path) as connection:
        connection.execute("BEGIN")
        problems: list[str] = []
        for problem in _problems(connection):
            problems.append(problem)
            if len(problems) >= PROBLEMS_MAX:
                problems.append("… and more")
                break
    return problems


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A read-only connection on a journal of a schema that we know."""
    if not path.is_file():
        raise JournalError(f"{path}: no journal is there")
    mode = "mode=ro" if wal_of(path).exists() or os.access(path.parent, os.W_OK) else "immutable=1"
    with translated(path):
        connection = sqlite3.connect(
            f"file:{quote(os.fspath(path.absolute()))}?{mode}", uri=True, isolation_level=None
        )
        with closing(connection):
            try:
                application = connection.execute("PRAGMA application_id").fetchone()[0]
                version = connection.execute("PRAGMA user_version").fetchone()[0]
            except UnicodeDecodeError as error:  # SQLite quotes a damaged name in its message
                raise unreadable(path, error) from error
            if application != APPLICATION_ID:
                raise JournalCorrupt(f"{path} is not a journal of collector")
            if version > SCHEMA_VERSION:
                raise JournalTooNew(f"{path} has schema {version}; upgrade collector to read it")
            yield connection


def _problems(connection: sqlite3.Connection) -> Iterator[str]:
    try:
        for line in _structure(connection):
            if line != "ok":
                yield f"SQLite: {line}"
        yield from _checksums(connection)
        yield from _texts(connection)
        yield from _account(connection)
        yield from _references(connection)
    except (sqlite3.DatabaseError, *UNREADABLE) as error:
        yield f"SQLite: {error}"


def _structure(connection: sqlite3.Connection) -> list[str]:
    """What SQLite finds itself. It quotes damaged names as they are, which need not be UTF-8."""
    connection.text_factory = lambda text: text.decode(errors="replace")
    try:
        return [line for (line,) in connection.execute("PRAGMA integrity_check")]
    finally:
        connection.text_factory = str


def _checksums(connection: sqlite3.Connection) -> Iterator[str]:
    for chunk, total in connection.execute("SELECT chunk, total FROM checksums ORDER BY chunk"):
        first = chunk << CHUNK_BITS
        rows = connection.execute(
            "SELECT * FROM log WHERE seq BETWEEN ? AND ?", (first, first + _ROWS - 1)
        )
        if sum(map(checksum, rows)) != total:
            yield f"entries {first} to {first + _ROWS - 1} are not what was recorded (checksum)"


def _texts(connection: sqlite3.Connection) -> Iterator[str]:
    """Texts that cannot be read, where no checksum has looked: new entries, and all that is beside."""
    row = connection.execute("SELECT max(chunk) FROM checksums").fetchone()
    tail = 0 if row[0] is None else (row[0] + 1) << CHUNK_BITS
    for table in (
        "log",
        "kinds",
        "principals",
        "producers",
        "scopes",
        "versions",
        "states",
        "devices",
        "entries",
    ):
        where = f" WHERE seq >= {tail}" if table in ("log", "entries") else ""
        try:
            for _row in connection.execute(f"SELECT * FROM {table}{where}"):
                pass
        except (sqlite3.OperationalError, UnicodeDecodeError) as error:
            yield f"a row of {table} cannot be read: {error}"


def _account(connection: sqlite3.Connection) -> Iterator[str]:
    """What is missing has to be in the ledger: by number, and within the ranges that it tells of."""
    run = connection.execute
    if run("PRAGMA user_version").fetchone()[0] < LEDGER_VERSION:
        yield from _count_of_holes(connection)
        return
    rows = read_losses(lambda sql, values: run(sql, values).fetchall())
    last, stored = run(f"SELECT {LAST_SEQ}, (SELECT count(*) FROM log)").fetchone()
    for cause, loss in rows.items():
        if not 0 < loss.count <= loss.last_seq - loss.first_seq + 1 or loss.first_seq < 1:
            yield f"the ledger of removed entries contradicts itself about {cause!r}: {loss}"
    missing = last - stored - sum(loss.count for loss in rows.values())
    if missing:
        yield (
            f"{abs(missing)} entries {'too few' if missing > 0 else 'too many'} are stored: {last} seqs"
            f" were handed out, {stored} entries are there, {last - stored - missing} were removed"
        )
    for first, end in _outside(rows.values(), last):
        found = run("SELECT count(*) FROM log WHERE seq BETWEEN ? AND ?", (first, end)).fetchone()[
            0
        ]
        if found != end + 1 - first:
            yield f"of the entries {first} to {end} some are missing, and none of them was removed"
    yield from _ring(connection)


def _outside(rows: Iterable[Loss], last: int) -> Iterator[tuple[int, int]]:
    """The ranges of seqs in which the ledger knows of no removal."""
    after = 0
    for first, end in sorted((loss.first_seq, loss.last_seq) for loss in rows):
        if first > after + 1:
            yield after + 1, first - 1
        after = max(after, end)
    if last > after:
        yield after + 1, last


def _ring(connection: sqlite3.Connection) -> Iterator[str]:
    """Up to where rotation has come, the entries stored are those that the ring knows."""
    here = (
        "(SELECT seq, kind FROM log"
        " WHERE seq <= coalesce((SELECT value FROM facts WHERE name = 'rotated'), 0))"
    )
    for one, other, what in (
        (here, "(SELECT seq, kind FROM ring)", "rotation passed over {} entries and forgot them"),
        ("(SELECT seq, kind FROM ring)", here, "rotation knows of {} entries that are not there"),
    ):
        sql = f"SELECT count(*), min(seq) FROM (SELECT * FROM {one} EXCEPT SELECT * FROM {other})"
        count, first = connection.execute(sql).fetchone()
        if count:
            yield f"{what.format(count)} (the first is {first})"


def _count_of_holes(connection: sqlite3.Connection) -> Iterator[str]:
    """Of an older schema all that is known is how many entries are missing behind the oldest."""
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
