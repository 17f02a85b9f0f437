"""A journal built anew from a file that may be anybody's: only values come over, table by table.

A copy of pages would carry over whatever a crafted page holds. Here every row is read as values and
written as values into tables of our own text, whose types are enforced. So no trigger, no view, no
malformed record and no hidden page has a way into the journal, however it got into the file.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from collector.core.ids import SEQ_MASK
from collector.errors import JournalCorrupt, JournalTooNew
from collector.journal.completeness import NEWEST, ends_early, in_doubt, mode_of
from collector.journal.connection import (
    APPLICATION_ID,
    SCHEMA_VERSION,
    distrust,
    translated,
)
from collector.journal.files import check_before_reading
from collector.journal.recovery import mark_clean
from collector.journal.shape import Shape, compare, shape
from collector.journal.verifying import found_wrong

Progress = Callable[[int, int], None]
"""Called with tables copied and tables in all."""

_FROM: Final = "source"
_JSON: Final = (
    ("log", "metadata"), ("producers", "body"), ("devices", "body"), ("states", "state"),
    ("versions", "changes"),
)  # fmt: skip
"""Columns of JSON, which readers decode."""
_TEXTS: Final = (
    ("log", "object_id, object_name, ip, correlation_id, causation_id, message, metadata"),
    ("facts", "name, value"),
    ("words", "word"),
)
"""Columns of text that `verify` reads in part, or not at all."""


def rebuild(
    source: Path, target: Path, progress: Progress = lambda done, total: None
) -> str | None:
    """Build the journal in `source` anew as `target`, which must not exist.

    Returns in words that `source` may end early, None where nothing speaks for it. Raises
    `JournalCorrupt` where anything in it is not as a journal has it, and other `JournalError`s.
    """
    check_before_reading(source)
    doubtful = in_doubt(source)
    mode = mode_of(source, doubtful=doubtful)
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640))
    with translated(source), closing(_empty(target)) as connection:
        connection.execute(
            f"ATTACH ? AS {_FROM}", (f"file:{quote(os.fspath(source.absolute()))}?{mode}",)
        )
        version = _version(connection, source)
        compare(connection, _FROM, version, source)
        for problem in _structure(connection):
            raise JournalCorrupt(f"{source} is damaged and was not restored: {problem}")
        doubt = _doubt(connection) if doubtful else None
        _copy(connection, shape(version), version, source, progress)
        connection.execute(f"DETACH {_FROM}")
        for problem in _content(connection):
            raise JournalCorrupt(f"{source} is damaged and was not restored: {problem}")
    return doubt


def _empty(target: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(target.absolute().as_uri(), uri=True, isolation_level=None)
    try:
        distrust(connection)
        for pragma in (
            "page_size = 4096", "auto_vacuum = INCREMENTAL", "journal_mode = MEMORY",
            "synchronous = OFF",  # the whole is synced when it is finished
        ):  # fmt: skip
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def _version(connection: sqlite3.Connection, source: Path) -> int:
    if connection.execute(f"PRAGMA {_FROM}.application_id").fetchone()[0] != APPLICATION_ID:
        raise JournalCorrupt(f"{source} is not a journal of collector")
    version: int = connection.execute(f"PRAGMA {_FROM}.user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise JournalTooNew(f"{source} has schema {version}; upgrade collector to restore it")
    if version < 1:
        raise JournalCorrupt(f"{source} has schema {version}, which no journal has")
    return version


def _doubt(connection: sqlite3.Connection) -> str | None:
    question = NEWEST.replace(" FROM ", f" FROM {_FROM}.")
    return ends_early(connection.execute(question).fetchone())


def _structure(connection: sqlite3.Connection) -> Iterator[str]:
    """SQLite's own check: after it no page leads anywhere twice, so that every scan ends."""
    for (line,) in connection.execute(f"PRAGMA {_FROM}.integrity_check(1)"):
        if line != "ok":
            yield " ".join(line.split())


def _copy(
    connection: sqlite3.Connection, form: Shape, version: int, source: Path, progress: Progress
) -> None:
    run = connection.execute
    run("BEGIN")
    for sql in form.tables.values():
        run(sql)
    for done, name in enumerate(form.tables):
        progress(done, len(form.tables))
        try:
            # The WHERE keeps SQLite from copying records as they are, without a look at their types.
            run(f'INSERT INTO main."{name}" SELECT * FROM {_FROM}."{name}" WHERE ?', (1,))
        except (sqlite3.IntegrityError, sqlite3.DataError) as error:
            raise JournalCorrupt(f"{source} is damaged and was not restored: {error}") from error
    if "sqlite_sequence" in {name for (name,) in run(f"SELECT name FROM {_FROM}.sqlite_schema")}:
        run("DELETE FROM main.sqlite_sequence")
        run(
            f"INSERT INTO main.sqlite_sequence SELECT name, max(seq) FROM {_FROM}.sqlite_sequence"
            " WHERE typeof(seq) = 'integer' GROUP BY name"
        )
    for sql in (*form.indexes.values(), *form.views.values()):
        run(sql)
    run("DELETE FROM facts WHERE name = 'running_since'")
    mark_clean(connection)
    run(f"PRAGMA application_id = {APPLICATION_ID}")
    run(f"PRAGMA user_version = {version}")
    run("COMMIT")


def _texts(connection: sqlite3.Connection) -> Iterator[str]:
    """Texts that no reader could decode, also where checksums vouch for them: these are anybody's."""
    for table, columns in _TEXTS:
        try:
            for _ in connection.execute(f"SELECT {columns} FROM {table}"):
                pass
        except sqlite3.OperationalError as error:
            yield f"`{table}` holds what is no text: {error}"


def _content(connection: sqlite3.Connection) -> Iterator[str]:
    """What is wrong with the values that came over."""
    for table, column in _JSON:
        wrong: int = connection.execute(
            f"SELECT count(*) FROM {table} WHERE {column} <> '' AND NOT json_valid({column})"
        ).fetchone()[0]
        if wrong:
            yield f"{wrong} rows of `{table}` hold no JSON in `{column}`"
    yield from _texts(connection)
    newest: Any = connection.execute("SELECT min(seq), max(seq) FROM log").fetchone()
    if newest[0] is not None and not 0 < newest[0] <= newest[1] <= SEQ_MASK:
        yield f"its seqs, {newest[0]} to {newest[1]}, are not those of a journal"
    yield from found_wrong(connection)
