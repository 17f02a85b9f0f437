"""What a start makes of the end before it: the mark of a clean stop, the log, and who reads it."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from collector.errors import JournalBusy, JournalError, JournalIOError
from collector.journal import connection, recovery
from collector.journal.wal import wal_of
from collector.journal.writer import Journal
from tests.journal.readers import held_elsewhere, holding
from tests.journal.world import World, fill


@pytest.fixture
def w(tmp_path: Path) -> World:
    """A journal with some entries, open."""
    made = World(tmp_path / "events.db")
    fill(made, 20)
    return made


def marked(path: Path) -> bool:
    """Whether the journal at `path` bears the mark; its log counts, where there is one."""
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return recovery.is_clean(reader)
    finally:
        reader.close()


def bare(path: Path, folder: Path) -> Path:
    """A copy of the main file alone, as `cp` makes it."""
    folder.mkdir()
    return Path(shutil.copy(path, folder))


def test_a_clean_stop_leaves_the_mark_and_a_start_removes_it(w: World, tmp_path: Path) -> None:
    assert not marked(w.path)
    w.close()
    assert marked(w.path)
    assert not wal_of(w.path).exists()
    w.open()
    assert not marked(w.path)
    assert not marked(bare(w.path, tmp_path / "copy")), "it is gone from the main file as well"
    fill(w, 1)
    w.crash()
    assert not marked(w.path)
    w.open()
    w.close()
    assert marked(w.path), "a start after a crash and a clean stop"


def test_no_mark_is_left_where_writes_were_failing(w: World) -> None:
    w.journal.close(clean=False)
    assert not marked(w.path)


def test_a_viewer_does_not_keep_a_journal_that_was_stopped_cleanly_from_starting(
    w: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with held_elsewhere(w.path) as pid:
        fill(w, 20)
        w.close()
        assert wal_of(w.path).stat().st_size
        for n in range(3):
            w.open()
            assert f"a reader holds a snapshot: pid {pid} " in caplog.text
            caplog.clear()
            assert not marked(w.path)
            assert len(w.entries()) == 40 + n
            fill(w, 1)
            w.close()
            assert marked(w.path)
        w.open()
    fill(w, 1)
    w.close()
    assert not wal_of(w.path).exists()
    assert w.rooms.backup.verify(w.path) == []


def test_after_a_crash_a_viewer_is_waited_for_and_named(w: World) -> None:
    with held_elsewhere(w.path) as pid:
        fill(w, 20)
        w.crash()
        with pytest.raises(JournalBusy, match=rf"pid {pid} \(python"):
            Journal.open(w.path, patience=0.1)
        assert not marked(w.path), "a start that failed is no clean stop"
        with pytest.raises(JournalBusy):
            Journal.open(w.path, patience=0.1)
    w.open()
    assert len(w.entries()) == 40
    w.close()


def test_a_crash_beside_a_viewer_after_a_start_beside_it_is_a_crash(w: World) -> None:
    """The main file still has the mark then; its removal stands in the log, and counts."""
    with holding(w.path):
        fill(w, 1)
        w.close()
        w.open()
        fill(w, 1)
        w.crash()
        with pytest.raises(JournalBusy):
            Journal.open(w.path, patience=0.1)
    w.open()
    assert len(w.entries()) == 22
    w.close()


@pytest.mark.parametrize("at", ["first commit", "checkpoint of it"])
def test_killed_before_the_mark_is_gone_the_journal_is_what_the_clean_stop_left(
    w: World, tmp_path: Path, at: str
) -> None:
    """Copies of the files as they lie at each of the statements of a start."""
    w.close()
    copies: list[Path] = []

    def copy(statement: str) -> None:
        if statement.startswith(("COMMIT", "PRAGMA wal_checkpoint(PASSIVE)")):
            folder = tmp_path / f"copy-{len(copies)}"
            folder.mkdir()
            for file in (w.path, wal_of(w.path)):
                if file.exists():
                    shutil.copy(file, folder)
            copies.append(folder / w.path.name)

    opened = sqlite3.connect(w.path, isolation_level=None)
    connection._configure(opened, w.path)
    opened.set_trace_callback(copy)
    recovery.take_over(opened, w.path, 0.1, lambda: 0.0, lambda seconds: None)
    opened.set_trace_callback(None)
    connection.leave(opened, w.path)
    left = copies[["first commit", "checkpoint of it"].index(at)]
    assert marked(left) == (at == "first commit")
    again = World(left)
    assert len(again.entries()) == 20
    again.close()


def test_a_journal_of_an_older_version_has_no_mark_and_starts_as_ever(w: World) -> None:
    w.journal.close(clean=False)
    w.open()
    assert len(w.entries()) == 20
    with holding(w.path):
        fill(w, 1)
        w.journal.close(clean=False)
        with pytest.raises(JournalBusy):
            Journal.open(w.path, patience=0.1)
    w.open()
    w.close()


def test_a_migration_beside_a_viewer_needs_no_empty_log_after_a_clean_stop(w: World) -> None:
    run = w.journal.connection.execute
    for table in ("occurrences", "ids", "id_runs"):
        run(f"DROP TABLE {table}")
    run("DELETE FROM facts WHERE name = 'ids_key'")
    run("CREATE TABLE ids (id BLOB PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID")
    run("PRAGMA user_version = 1")
    with holding(w.path):
        w.close()
        w.open()
        version = w.journal.connection.execute("PRAGMA user_version").fetchone()[0]
        assert version == connection.SCHEMA_VERSION
        assert not marked(w.path)
        fill(w, 5)
        assert len(w.entries()) == 25
    w.close()


def test_a_log_that_cannot_be_written_again_ends_the_start_and_is_kept(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    w.crash()
    main, log = w.path.read_bytes(), wal_of(w.path).read_bytes()

    def fails(descriptor: int) -> None:
        raise OSError(5, os.strerror(5))

    monkeypatch.setattr("collector.journal.wal.os.fdatasync", fails)
    with pytest.raises(JournalIOError, match=r"events\.db-wal"):
        Journal.open(w.path)
    assert (w.path.read_bytes(), wal_of(w.path).read_bytes()) == (main, log)
    monkeypatch.undo()
    w.open()
    assert len(w.entries()) == 20
    w.close()


def test_a_directory_that_cannot_be_synced_ends_the_start(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log whose name is not on the disk takes everything with it; SQLite takes no notice."""
    w.close()

    def fails(descriptor: int) -> None:
        raise OSError(5, os.strerror(5))

    monkeypatch.setattr("collector.journal.connection.os.fsync", fails)
    with pytest.raises(JournalError) as refusal:
        Journal.open(w.path)
    assert refusal.value.exit_code == 74
    monkeypatch.undo()
    w.open()
    w.close()
