"""`restore` takes over values and nothing else, whatever somebody made of the file."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from collector.errors import JournalCorrupt, JournalTooNew
from collector.journal import backup as backups
from collector.journal import connection
from collector.journal.shape import shape
from collector.journal.verifying import verify
from tests.journal.world import Resource, fill, spend, world


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup with everything in it: ids, words, postings, totals, versions, a pruned range."""
    folder = tmp_path_factory.mktemp("good")
    with world(folder / "events.db", resources=[Resource("people", "person")]) as w:
        for seed in range(3):
            fill(w, 700, seed)
            w.follow()
        spend(w.pruner.oldest(50, "entries"))
        backups.backup(w.path, folder / "good.db")
    return folder / "good.db"


def changed(good: Path, folder: Path, *statements: str) -> Path:
    """A copy of the backup with its schema laid open to changes, and these made."""
    file = folder / "bad.db"
    shutil.copy(good, file)
    with closing(sqlite3.connect(file, isolation_level=None)) as made:
        for statement in statements:
            made.execute("PRAGMA writable_schema = ON")
            made.execute(statement)
    return file


def rows(path: Path, *, but: tuple[str, ...] = ()) -> dict[str, list[Any]]:
    """Every row of every table."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as read:
        names = [name for (name,) in read.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql IS NOT NULL")]  # fmt: skip
        found = {name: read.execute(f'SELECT * FROM "{name}"').fetchall() for name in names}
    found["facts"] = [fact for fact in found["facts"] if fact[0] not in but]
    return found


def test_what_is_restored_is_what_was_backed_up(good: Path, tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    backups.restore(good, path)
    kept = rows(good, but=("journal_id",))
    assert rows(path, but=("journal_id",)) == kept
    assert all(kept[name] for name in ("log", "kinds", "scopes", "totals", "facts"))
    assert verify(path) == []
    assert path.stat().st_mode & 0o777 == 0o640
    with world(path) as w:
        assert w.journal.connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        fill(w, 5)


def test_numbers_of_runs_are_never_used_again_after_a_restore_either(
    good: Path, tmp_path: Path
) -> None:
    file = changed(
        good,
        tmp_path,
        "INSERT INTO id_runs VALUES (41, 1, 2, 5, 0, 0)",
        "DELETE FROM id_runs WHERE run = 41",
    )
    path = tmp_path / "events.db"
    backups.restore(file, path)
    with closing(sqlite3.connect(path)) as read:
        assert read.execute("SELECT * FROM sqlite_sequence").fetchall() == [("id_runs", 41)]


NEWER = f"PRAGMA user_version = {connection.SCHEMA_VERSION + 1}"
EVIL: dict[str, tuple[list[str], str]] = {
    "a trigger": (
        ["CREATE TRIGGER t AFTER INSERT ON log BEGIN DELETE FROM log; END"],
        "trigger 't'",
    ),
    "a table too many": (["CREATE TABLE evil (x)"], "table 'evil'"),
    "an index too many": (["CREATE INDEX slow ON log (message)"], "index 'slow'"),
    "a table too few": (["DROP TABLE totals"], "lacks the table 'totals'"),
    "an index too few": (["DROP INDEX principals_by_name"], "lacks the index"),
    "a view in a table's place": (
        ["DROP TABLE facts", ("CREATE VIEW facts AS WITH RECURSIVE r(name, value) AS (SELECT 'tag', 1"
         " UNION ALL SELECT name, value FROM r) SELECT * FROM r")],
        "lacks the table 'facts'",
    ),
    "a virtual table": (
        ["DROP TABLE scopes", "CREATE VIRTUAL TABLE scopes USING fts5(tenant_id, org_id)"],
        "'scopes",
    ),
    "a table that checks": (
        [("UPDATE sqlite_schema SET sql = replace(sql, 'ip             TEXT    NOT NULL',"
         " 'ip TEXT NOT NULL CHECK (ip <> ''x'')') WHERE name = 'log'")],
        "table 'log'",
    ),
    "a generated column": (
        [("UPDATE sqlite_schema SET sql = replace(sql, 'total INTEGER NOT NULL',"
         " 'total INTEGER NOT NULL, more INTEGER AS (total)') WHERE name = 'checksums'")],
        "table 'checksums'",
    ),
    "no STRICT": (
        ["UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '') WHERE name = 'scopes'"],
        "table 'scopes'",
    ),
    "a fact of a wrong type": (["UPDATE facts SET value = 'x' WHERE name = 'tag'"], "`tag`"),
    "no key": (["DELETE FROM facts WHERE name = 'hmac_key'"], "`hmac_key` is missing"),
    "a seq beyond all": (["INSERT OR REPLACE INTO facts VALUES ('last_seq', 1 << 60)"], "last_seq"),
    "metadata that is none": (
        ["UPDATE log SET metadata = '{' WHERE seq = (SELECT max(seq) FROM log)"],
        "hold no JSON in `metadata`",
    ),
    "text that is none": (
        ["UPDATE log SET message = CAST(x'ff' AS TEXT) WHERE seq = 1500"],
        "UTF-8",
    ),
    "a word that is none": (
        ["INSERT INTO words VALUES (9, CAST(x'ff' AS TEXT), x'0000')"],
        "`words` holds what is no text",
    ),
    "another version than it says": (["PRAGMA user_version = 1"], "schema 1"),
    "no version": (["PRAGMA user_version = 0"], "schema 0"),
}  # fmt: skip


@pytest.mark.parametrize("evil", EVIL)
def test_what_no_journal_has_is_refused_and_named(good: Path, tmp_path: Path, evil: str) -> None:
    statements, named = EVIL[evil]
    file = changed(good, tmp_path, *statements)
    before = file.read_bytes()
    with world(tmp_path / "events.db") as w:
        fill(w, 5)
    kept = (tmp_path / "events.db").read_bytes()
    with pytest.raises(JournalCorrupt, match=r"bad\.db") as refused:
        backups.restore(file, tmp_path / "events.db")
    assert named in str(refused.value)
    assert file.read_bytes() == before
    assert (tmp_path / "events.db").read_bytes() == kept
    assert {f.name for f in tmp_path.iterdir()} <= {"bad.db", "events.db", "events.db.lock"}


@pytest.mark.parametrize("checked", [True, False])
def test_a_value_of_a_wrong_type_has_no_way_over(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checked: bool
) -> None:
    """Written while the table was not STRICT, as a crafted page may hold it."""
    if not checked:
        monkeypatch.setattr("collector.journal.rebuilding._structure", lambda connection: ())
    file = changed(
        good,
        tmp_path,
        "UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '') WHERE name = 'scopes'",
    )
    with closing(sqlite3.connect(file, isolation_level=None)) as made:
        made.execute("INSERT INTO scopes VALUES (77, x'00ff', 5.5)")
        made.execute("PRAGMA writable_schema = ON")
        made.execute("UPDATE sqlite_schema SET sql = rtrim(sql) || ' STRICT' WHERE name = 'scopes'")
    with pytest.raises(JournalCorrupt, match="scopes"):
        backups.restore(file, tmp_path / "events.db")


def test_a_file_from_a_newer_collector_is_left_to_it(good: Path, tmp_path: Path) -> None:
    with pytest.raises(JournalTooNew):
        backups.restore(changed(good, tmp_path, NEWER), tmp_path / "events.db")


def test_views_are_made_anew(good: Path, tmp_path: Path) -> None:
    file = changed(
        good,
        tmp_path,
        "DROP VIEW entries",
        "CREATE VIEW entries AS SELECT load_extension('/tmp/evil') AS seq",
        "CREATE VIEW more AS SELECT 1",
    )
    path = tmp_path / "events.db"
    backups.restore(file, path)
    with closing(sqlite3.connect(path)) as read:
        assert read.execute("SELECT count(*) FROM entries").fetchone() == (2050,)
        views = read.execute("SELECT name FROM sqlite_schema WHERE type = 'view'").fetchall()
    assert views == [("entries",)]


def test_a_damaged_page_is_found_before_anything_is_read_from_it(
    good: Path, tmp_path: Path
) -> None:
    content = bytearray(good.read_bytes())
    content[3 * 4096 : 4 * 4096] = b"\x05" + bytes(4095)
    file = tmp_path / "bad.db"
    file.write_bytes(content)
    with pytest.raises(JournalCorrupt, match="was not restored"):
        backups.restore(file, tmp_path / "events.db")


@pytest.mark.parametrize("version", range(1, connection.SCHEMA_VERSION + 1))
def test_a_journal_of_every_version_can_be_restored_and_opened(
    tmp_path: Path, version: int
) -> None:
    """Each schema is the first and the migrations up to it; its file is taken over at the next start."""
    file, path = tmp_path / "old.db", tmp_path / "events.db"
    form = shape(version)
    with closing(sqlite3.connect(file, isolation_level=None)) as made:
        made.execute("PRAGMA auto_vacuum = INCREMENTAL")
        for sql in (*form.tables.values(), *form.indexes.values(), *form.views.values()):
            made.execute(sql)
        made.execute(f"PRAGMA application_id = {connection.APPLICATION_ID}")
        made.execute(f"PRAGMA user_version = {version}")
        for name, value in (("journal_id", "x"), ("tag", 7), ("hmac_key", bytes(32))):
            made.execute("INSERT INTO facts VALUES (?, ?)", (name, value))
        if version >= 3:
            made.execute("INSERT INTO facts VALUES ('ids_key', ?)", (bytes(16),))
    backups.restore(file, path)
    with closing(sqlite3.connect(path)) as read:
        assert read.execute("PRAGMA user_version").fetchone() == (version,)
    with world(path) as w:
        assert w.journal.tag == 7
        fill(w, 10)
    assert verify(path) == []


def test_the_shape_of_today_is_what_migrations_lead_to(monkeypatch: pytest.MonkeyPatch) -> None:
    plain: Callable[[int], Any] = shape.__wrapped__
    today = plain(connection.SCHEMA_VERSION)
    monkeypatch.setattr("collector.journal.shape.SCHEMA_VERSION", 0)
    assert plain(connection.SCHEMA_VERSION) == today
