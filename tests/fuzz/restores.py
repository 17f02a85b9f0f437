"""Hostile files for `restore`: refused with a reason, or taken over as nothing but a sound journal.

A third are journals with damaged bytes; the rest are made by somebody with an SQLite shell, who may
also write the schema: triggers, views, indexes, tables that are no journal's, values of wrong types,
seqs and cursors that lie, and names under which something else than a file stands.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from collector.errors import CollectorError
from collector.journal.backup import restore
from collector.journal.shape import shape
from collector.journal.verifying import verify
from collector.journal.writer import Journal
from tests.fuzz.journals import Files, damaged, says_why, write
from tests.journal.earlier import VERSIONS, load
from tests.journal.world import fill, world

SECONDS: Final = 30.0
"""A restore of a small file that takes longer hangs."""
_BIG: Final = 9_223_372_036_854_775_807

STATEMENTS: Final = (
    "CREATE TRIGGER t AFTER INSERT ON log BEGIN DELETE FROM facts; END",
    "CREATE TRIGGER t INSTEAD OF INSERT ON entries BEGIN SELECT load_extension('x'); END",
    "CREATE VIEW v AS SELECT * FROM log; CREATE TRIGGER t INSTEAD OF DELETE ON v BEGIN SELECT 1; END",
    "DROP VIEW entries; CREATE VIEW entries AS SELECT zeroblob(1000000000) AS seq",
    "DROP VIEW entries; CREATE TABLE entries (seq INTEGER)",
    "DROP VIEW entries",
    "CREATE TABLE more (x)",
    "CREATE VIRTUAL TABLE f USING fts5(x)",
    "CREATE INDEX i ON log (abs(seq))",
    "DROP INDEX principals_by_name; CREATE INDEX principals_by_name ON principals (id)",
    "DROP INDEX versions_by_object",
    "ALTER TABLE log ADD COLUMN more TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE kinds RENAME COLUMN channel TO canal",
    "DROP TABLE kinds; CREATE TABLE kinds (kind, action AS (randomblob(kind)))",
    "DROP TABLE facts",
    "DROP TABLE log",
    f"UPDATE log SET seq = {_BIG} WHERE seq = (SELECT max(seq) FROM log)",
    "UPDATE log SET seq = -seq",
    "UPDATE log SET occurred_at = -9223372036854775808",
    "UPDATE log SET kind = 999999",
    "UPDATE log SET metadata = '{' || metadata",
    "UPDATE log SET message = CAST(x'ff00fe' AS TEXT)",
    "UPDATE log SET id = zeroblob(20000000) WHERE seq = (SELECT min(seq) FROM log)",
    f"UPDATE facts SET value = {_BIG} WHERE name LIKE 'cursor%'",
    f"INSERT OR REPLACE INTO facts VALUES ('last_seq', {_BIG})",
    "INSERT OR REPLACE INTO facts VALUES ('last_seq', 'many')",
    "DELETE FROM facts WHERE name = 'tag'",
    "UPDATE facts SET value = -1 WHERE name = 'tag'",
    "UPDATE facts SET value = 'x' WHERE name = 'hmac_key'",
    "INSERT INTO facts VALUES ('key.a', '[')",
    "INSERT INTO devices VALUES ('x', '[]')",
    "DELETE FROM log WHERE seq % 3 = 0",
    "DELETE FROM principals",
    "DELETE FROM checksums",
    "UPDATE checksums SET total = total + 1",
    "UPDATE log SET message = message || ' forged' WHERE seq % 2",
    "PRAGMA user_version = 77",
    "PRAGMA user_version = 0",
    "PRAGMA user_version = -1",
    "PRAGMA user_version = 1",
    "PRAGMA application_id = 1",
    "PRAGMA journal_mode = WAL",
)
"""What is done to a good journal; each is tried on a journal of each schema."""
SCHEMA_WRITES: Final = (
    ("type = 'table' AND name = 'log'", " STRICT", ""),
    ("name = 'log'", "INTEGER", "ANY"),
    ("name = 'entries'", "log.message", "load_extension('x')"),
    ("name = 'principals_by_name'", "(name)", "(name) WHERE id IN (SELECT 1)"),
    ("name = 'facts'", "WITHOUT ROWID", ""),
    ("name = 'log'", "TEXT    NOT NULL", "TEXT    NOT NULL CHECK (randomblob(1e9))"),
)
"""Texts of the schema that are changed in place: which, what, and into what."""


def fuzz(count: int, seed: int, folder: Path) -> dict[str, int]:
    """Restore so many files; how many were taken over. Raises AssertionError."""
    rng, met = random.Random(seed), {"restored": 0, "refused": 0}
    originals = _originals(folder)
    source, target = folder / "source.db", folder / "target" / "events.db"
    for number in range(count):
        try:
            _make(rng, number, rng.choice(originals), source)
            met[_tried(source, target)] += 1
        except BaseException as error:
            error.add_note(f"file {number} of seed {seed}, left at {source}")
            raise
    return met


def _originals(folder: Path) -> list[Files]:
    """A journal of each schema, whole, and one of today as a kill leaves it."""
    found: list[Files] = []
    for version in VERSIONS:
        path = folder / f"schema-{version}.db"
        load(path, version)
        found.append({"": path.read_bytes()})
    path = folder / "today.db"
    with world(path) as w:
        fill(w, 200)
        w.follow()
        w.journal.checkpoint()
        fill(w, 50, seed=1)
        found.append({"": path.read_bytes(), "-wal": path.with_name("today.db-wal").read_bytes()})
    found.append({"": path.read_bytes()})
    return found


def _make(rng: random.Random, number: int, files: Files, source: Path) -> None:
    if source.is_symlink() or source.exists():
        source.unlink()
    if number % 3 == 0:
        write(damaged(rng, files), source)
        return
    write({"": files[""]}, source)
    with closing(sqlite3.connect(source, isolation_level=None)) as connection:
        for _ in range(rng.choice((1, 1, 2))):
            _spoil(rng, connection)
    if number % 50 == 1:
        real = source.with_name("elsewhere.db")
        os.replace(source, real)
        source.symlink_to(real)


def _spoil(rng: random.Random, connection: sqlite3.Connection) -> None:
    """Do something hostile; what this file cannot bear is left out."""
    try:
        if rng.random() < 0.25:
            which, old, new = rng.choice(SCHEMA_WRITES)
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute(
                f"UPDATE sqlite_schema SET sql = replace(sql, ?, ?) WHERE {which}", (old, new)
            )
            connection.execute("PRAGMA writable_schema = RESET")
        else:
            connection.executescript(rng.choice(STATEMENTS))
    except (sqlite3.Error, UnicodeDecodeError):
        pass


def _tried(source: Path, target: Path) -> str:
    for left in target.parent.glob("*") if target.parent.exists() else ():
        left.unlink()
    began = time.monotonic()
    try:
        restore(source, target)
    except CollectorError as error:
        says_why(error)
        assert not target.exists(), "refused, and put in place"
        verdict = "refused"
    else:
        _is_ours(target)
        verdict = "restored"
    assert time.monotonic() - began < SECONDS, f"took {time.monotonic() - began:.0f} s"
    return verdict


def _is_ours(path: Path) -> None:
    """What was put in place is a sound journal with our schema and no other, and can be opened."""
    assert verify(path) == []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        found = dict(
            connection.execute(
                "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite%'"
            ).fetchall()
        )
    form = shape(version)
    assert found == {**form.tables, **form.indexes, **form.views}
    Journal.open(path).close()
    assert verify(path) == []
