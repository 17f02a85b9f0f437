"""Verifying: what is wrong with a journal or a backup of it, found by reading alone.

SQLite's own check misses what only changes content, so the checksums that a follower keeps of every
1,024 entries are compared too, and the seqs, the loss ledger and the references have to add up. No entry
is believed: what `events.pruned` says could be anybody's words.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from collector.core.ids import SEQ_MASK, TAG_BITS
from collector.errors import JournalCorrupt, JournalTooNew
from collector.journal import accounting
from collector.journal.completeness import NEWEST, ends_early, in_doubt, mode_of
from collector.journal.connection import (
    APPLICATION_ID,
    SCHEMA_VERSION,
    UNREADABLE,
    distrust,
    translated,
    unreadable,
)
from collector.journal.files import check_before_reading
from collector.journal.followers.words import checksum
from collector.journal.postings import CHUNK_BITS

_FACTS: Final = (
    ("journal_id", "typeof(value) = 'text'", True),
    ("tag", f"typeof(value) = 'integer' AND value BETWEEN 0 AND {(1 << TAG_BITS) - 1}", True),
    ("hmac_key", "typeof(value) = 'blob' AND length(value) = 32", True),
    ("ids_key", "typeof(value) = 'blob' AND length(value) = 16", False),
    ("last_seq", f"typeof(value) = 'integer' AND value BETWEEN 0 AND {SEQ_MASK}", False),
    ("holes", f"typeof(value) = 'integer' AND value BETWEEN 0 AND {SEQ_MASK}", False),
    ("cursor.*", f"typeof(value) = 'integer' AND value BETWEEN -1 AND {SEQ_MASK}", False),
    ("key.*", "typeof(value) = 'text' AND json_valid(value)", False),
)
"""Facts that a start rests on: name, what must be so, and whether every journal has it."""

PROBLEMS_MAX: Final = 100
_ROWS: Final = 1 << CHUNK_BITS


def verify(path: Path) -> list[str]:
    """What is wrong with the journal at `path`, in words; empty where nothing is.

    Checks SQLite's own structure, the checksum of every 1,024 entries that have one, that every entry
    is there or in the ledger of removed ones, that the log refers to nothing that is missing, and that
    it is no copy whose end stands in a write-ahead log that was not copied.
    Raises `JournalError` where it cannot be read at all.
    """
    with reading(path) as connection:
        connection.execute("BEGIN")
        problems: list[str] = []
        for problem in _everything(connection, path):
            problems.append(problem)
            if len(problems) >= PROBLEMS_MAX:
                problems.append("… and more")
                break
    return problems


def _everything(connection: sqlite3.Connection, path: Path) -> Iterator[str]:
    doubt = doubt_about(connection, path)
    if doubt is not None:
        yield doubt
    yield from found_wrong(connection, whole=doubt is None)


def doubt_about(connection: sqlite3.Connection, path: Path) -> str | None:
    """That an open file may end early, in words; None where nothing speaks for it."""
    if not in_doubt(path):
        return None
    try:
        return ends_early(connection.execute(NEWEST).fetchone())
    except sqlite3.DatabaseError as error:
        return f"copied while in use, no WAL beside it: may end early ({error})"


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A read-only connection on a journal of a schema that we know. Raises `JournalError`.

    The file may be anybody's: its schema is not trusted, and what it holds is bounded.
    """
    check_before_reading(path)
    mode = mode_of(path, doubtful=in_doubt(path))
    with translated(path):
        connection = sqlite3.connect(
            f"file:{quote(os.fspath(path.absolute()))}?{mode}", uri=True, isolation_level=None
        )
        with closing(connection):
            distrust(connection)
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


def found_wrong(connection: sqlite3.Connection, *, whole: bool = True) -> Iterator[str]:
    """What is wrong with the content, in words; SQLite's own structure comes first."""
    try:
        yield from unreadable_parts(connection, whole=whole)
        yield from _checksums(connection)
        yield from accounting.problems(connection)
        yield from _references(connection)
    except (sqlite3.DatabaseError, *UNREADABLE) as error:
        yield f"SQLite: {error}"


def unreadable_parts(connection: sqlite3.Connection, *, whole: bool = True) -> Iterator[str]:
    """What keeps a journal from being opened or read, in words. Raises what SQLite raises.

    Where the main file is looked at without its log it is not `whole`, and may lack facts.
    """
    for line in _structure(connection):
        if line != "ok":
            yield f"SQLite: {' '.join(line.split())}"
    yield from _facts(connection, whole)
    yield from _texts(connection)


def _facts(connection: sqlite3.Connection, whole: bool) -> Iterator[str]:
    for name, rule, required in _FACTS:
        found, right = connection.execute(
            f"SELECT count(*), total({rule}) FROM facts WHERE name GLOB ?", (name,)
        ).fetchone()
        if found != right or (whole and required and not found):
            yield f"its fact `{name}` is {'not what it must be' if found else 'missing'}"


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
