"""The schema of journals of any version, to tell a journal from what was made to look like one.

The first schema is kept as it was; each later one is that and the migrations up to it.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from functools import cache
from importlib import resources
from typing import Final

from msgspec import Struct

from collector.errors import JournalCorrupt
from collector.journal.connection import SCHEMA_VERSION, migrate, migrations, schema, statements

_COMMENT: Final = re.compile(r"--[^\n]*")
_SPACE: Final = re.compile(r"\s+")
_OWN: Final = frozenset({"sqlite_sequence", "sqlite_stat1", "sqlite_stat4"})
"""Tables that SQLite makes for itself; what an ANALYZE left is not taken over."""


class Shape(Struct, frozen=True):
    """The tables, indexes and views of a schema, each with its SQL, by name."""

    tables: dict[str, str]
    indexes: dict[str, str]
    views: dict[str, str]


@cache
def shape(version: int) -> Shape:
    """The schema of journals of `version`, which is 1 at least."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
        if version == SCHEMA_VERSION:
            _run(made, schema())
        else:
            _run(made, resources.files(__package__).joinpath("schemas/0001.sql").read_text("utf-8"))
            steps = [step for step in migrations(1) if step[0] <= version]
            migrate(made, 1, steps, version)
        return _read(made, "main")


def compare(connection: sqlite3.Connection, database: str, version: int, name: object) -> None:
    """Raise `JournalCorrupt` unless an attached database has the tables and indexes of its version.

    Views are not looked at: they are never copied. `name` is what messages call the file.
    """
    expected = shape(version)
    for kind, each in connection.execute(
        f"SELECT type, name FROM {database}.sqlite_schema WHERE type NOT IN ('table', 'index', 'view')"
    ):
        raise JournalCorrupt(f"{name} has the {kind} {each!r}, which no journal has")
    found = _read(connection, database)
    _compare("table", found.tables, expected.tables, version, name)
    _compare("index", found.indexes, expected.indexes, version, name)


def _compare(
    kind: str, found: dict[str, str], expected: dict[str, str], version: int, name: object
) -> None:
    for each in sorted(found.keys() | expected.keys()):
        if each not in found:
            raise JournalCorrupt(
                f"{name} lacks the {kind} {each!r} of a journal of schema {version}"
            )
        if each not in expected:
            raise JournalCorrupt(
                f"{name} has the {kind} {each!r}, which no journal of schema {version} has"
            )
        if _plain(found[each]) != _plain(expected[each]):
            raise JournalCorrupt(f"the {kind} {each!r} of {name} is not that of schema {version}")


def _read(connection: sqlite3.Connection, database: str) -> Shape:
    found: dict[str, dict[str, str]] = {"table": {}, "index": {}, "view": {}}
    for kind, name, sql in connection.execute(
        f"SELECT type, name, sql FROM {database}.sqlite_schema WHERE type IN ('table', 'index', 'view')"
    ):
        if (kind == "index" and sql is None) or (kind == "table" and name in _OWN):
            continue  # an index that a UNIQUE makes, or SQLite's own
        found[kind][name] = str(sql)
    return Shape(found["table"], found["index"], found["view"])


def _plain(sql: str) -> str:
    return _SPACE.sub(" ", _COMMENT.sub("", sql)).strip()


def _run(connection: sqlite3.Connection, script: str) -> None:
    for statement in statements(script):
        connection.execute(statement)
