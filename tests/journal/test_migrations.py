"""Journals of earlier schemas are taken over whole or not at all: killed anywhere, on a full disk."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from collector.errors import JournalBusy, JournalFull
from collector.event import Draft
from collector.journal import connection, keys
from collector.journal.connection import SCHEMA_VERSION
from collector.journal.verifying import verify
from collector.journal.writer import Journal
from tests.disks import fill, mounted
from tests.journal.earlier import VERSIONS, load
from tests.journal.world import World, indexed

KEPT = ("log", "kinds", "principals", "producers", "scopes", "versions", "states", "devices",
        "chunks", "checksums", "totals")  # fmt: skip
"""Tables that no migration so far has changed."""
_SHAPE = (
    "SELECT type, name, sql FROM sqlite_schema WHERE name <> 'categories_activity'"
    " ORDER BY type, name"
)
"""Everything but the view of the fixtures' resource."""


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


def rows(path: Path, *tables: str) -> dict[str, list[Any]]:
    """What some tables hold, read without touching the file."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
        return {name: reader.execute(f"SELECT * FROM {name}").fetchall() for name in tables}


def content(path: Path) -> tuple[Any, ...]:
    """Everything that stands in a journal, its schema, and which version that is."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
        found = reader.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2").fetchall()
        tables = [name for kind, name, _ in found if kind == "table"]
        return (
            reader.execute("PRAGMA user_version").fetchone()[0],
            found,
            *(reader.execute(f"SELECT * FROM {name}").fetchall() for name in tables),
        )


def taken_over(path: Path, before: dict[str, list[Any]]) -> None:
    """Hold a journal that was opened by today's code to what it was, and to what it has to be."""
    w = World(path)
    try:
        shape = w.journal.connection.execute(_SHAPE).fetchall()
        assert shape == _shape_of_today(path.with_name("new.db"))
        assert {name: sorted(each) for name, each in rows(path, *KEPT).items()} == {
            name: sorted(each) for name, each in before.items()
        }
        assert w.journal.last_seq == 236
        assert w.pruner.entries == 181
        (loss,) = w.journal.connection.execute("SELECT * FROM removed").fetchall()
        assert loss[:4] == ("before_ledger", 55, 1, 145)
        assert 1.7e15 < loss[4] == loss[5]
        assert w.pruner.removed.count == 10, "what was not told of yet still is not"
        assert [key.label for key in keys.every(w.journal)] == ["laptop", "tenant-key"]
        assert w.journal.fact("settings.retention") is not None
        assert [device["id"] for device in w.journal.devices()] == ["printer"]
        ids = [(raw, seq) for raw, seq in w.journal.connection.execute(
            "SELECT id, seq FROM log WHERE id <> x'' AND seq <= 157 ORDER BY seq")]  # fmt: skip
        assert ids
        assert set(ids) <= set(indexed(w)), "ids that were indexed are"
        assert w.journal.ids.stored([ids[0][0]]) == {ids[0][0]: ids[0][1]}
        assert w.record([Draft(action="note.added")])[0].seq == 237
    finally:
        w.close()
    assert verify(path) == []


def _shape_of_today(path: Path) -> list[Any]:
    with suppress(FileNotFoundError):
        path.unlink()
    journal = Journal.open(path)
    try:
        return journal.connection.execute(_SHAPE).fetchall()
    finally:
        journal.close()


def test_a_journal_of_an_earlier_schema_becomes_one_of_todays(tmp_path: Path, version: int) -> None:
    path = load(tmp_path / "events.db", version)
    before = rows(path, *KEPT)
    taken_over(path, before)


def test_a_journal_of_which_nothing_is_missing_gets_an_empty_ledger(tmp_path: Path) -> None:
    path = load(tmp_path / "events.db", 3)
    with closing(sqlite3.connect(path)) as made:
        made.execute("DELETE FROM log")
        made.execute("DELETE FROM facts WHERE name IN ('last_seq', 'pruned.pending')")
        made.commit()
    Journal.open(path).close()
    assert rows(path, "removed") == {"removed": []}


def test_a_hole_behind_the_first_entry_is_the_first_that_is_missing(tmp_path: Path) -> None:
    path = load(tmp_path / "events.db", 3)
    with closing(sqlite3.connect(path)) as made:
        made.execute("UPDATE log SET seq = seq - 34")
        made.execute("UPDATE facts SET value = value - 34 WHERE name = 'last_seq'")
        made.commit()
    Journal.open(path).close()
    (loss,) = rows(path, "removed")["removed"]
    gaps = set(range(1, 203)) - {row[0] for row in rows(path, "log")["log"]}
    assert loss[:4] == ("before_ledger", len(gaps), min(gaps), max(gaps))


# ── killed ──────────────────────────────────────────────────────────────────────────────────────


class Watched(sqlite3.Connection):
    """Keeps what a kill would leave, behind each statement of a migration."""

    path: Path
    left: list[Path]

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        done = super().execute(sql, *values)
        if self.in_transaction or sql == "COMMIT":
            folder = self.path.parent / f"killed-{len(self.left)}"
            folder.mkdir()
            for part in ("", "-wal"):
                file = self.path.with_name(self.path.name + part)
                if file.exists():
                    shutil.copy(file, folder)
            self.left.append(folder / self.path.name)
        return done


@pytest.mark.parametrize("reader", [False, True])
def test_killed_behind_any_statement_it_is_as_it_was_or_wholly_new(
    tmp_path: Path, version: int, reader: bool
) -> None:
    """The files as they are at that moment are what a kill leaves; with a reader, too."""
    path = load(tmp_path / "events.db", version)
    old, before = content(path), rows(path, *KEPT)
    Watched.path, Watched.left = path, []
    made = sqlite3.connect(path, isolation_level=None, factory=Watched)
    with closing(made), closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as held:
        made.execute("PRAGMA journal_mode = WAL")
        made.execute("PRAGMA cache_size = 10")  # so that pages are written before the commit
        if reader:
            held.execute("BEGIN")
            held.execute("SELECT count(*) FROM log").fetchone()
        connection.migrate(made, version)
    *undone, done = Watched.left
    assert len(undone) >= 5
    for left in undone:
        assert content(left) == old, left
    assert content(done)[0] == SCHEMA_VERSION
    for left in (undone[0], undone[len(undone) // 2], undone[-1], done):
        taken_over(left, before)


_KILLED = """
import os, signal, sqlite3, sys
from pathlib import Path
from collector.journal import connection
from collector.journal.writer import Journal
whole = connection.statements
def killed(script):
    for number, statement in enumerate(whole(script)):
        yield statement
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
connection.statements = killed
Journal.open(Path(sys.argv[1]))
"""


def test_a_process_that_is_killed_in_the_midst_leaves_the_journal_as_it_was(tmp_path: Path) -> None:
    path = load(tmp_path / "events.db", 3)
    old, before = content(path), rows(path, *KEPT)
    done = subprocess.run([sys.executable, "-c", _KILLED, str(path)], env=_reach())
    assert done.returncode == -signal.SIGKILL
    assert content(path) == old
    taken_over(path, before)


def _reach() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def test_a_reader_of_the_old_schema_holds_its_snapshot_and_the_next_start_goes_on(
    tmp_path: Path, version: int
) -> None:
    path = load(tmp_path / "events.db", version)
    old, before = content(path), rows(path, *KEPT)
    with closing(sqlite3.connect(path)) as made:
        made.execute("PRAGMA journal_mode = WAL")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as held:
        held.execute("BEGIN")
        seen = held.execute("SELECT count(*) FROM log").fetchone()
        with pytest.raises(JournalBusy):
            Journal.open(path, patience=0.0)
        assert held.execute("SELECT count(*) FROM log").fetchone() == seen
        assert held.execute("PRAGMA user_version").fetchone() == (old[0],)
    taken_over(path, before)


# ── a full disk ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path, "small", 8 << 20, "-b", "4096") as folder:
        yield folder


def test_on_a_full_disk_it_is_untouched_and_goes_on_when_there_is_room(
    full: Path, version: int
) -> None:
    """With next to nothing free, and with a little more each time, until it fits."""
    path, failed, said = full / "events.db", 0, list[str]()
    for room in range(64 << 10, 1 << 20, 32 << 10):
        for part in ("", "-wal", "-shm"):
            path.with_name(path.name + part).unlink(missing_ok=True)
        load(path, version)
        old, before = content(path), rows(path, *KEPT)
        ballast = fill(full, room)
        try:
            Journal.open(path).close()
        except JournalFull as refused:
            failed += 1
            said.append(str(refused))
            ballast.unlink()
            assert content(path) == old, room
            continue
        ballast.unlink()
        assert content(path)[0] == SCHEMA_VERSION
        break
    assert failed >= 1
    assert "bytes on its" in said[-1]
    taken_over(path, before)
