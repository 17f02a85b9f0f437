"""Backups while the daemon writes, the way back, and a `verify` that finds what SQLite does not."""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.errors import AlreadyRunning, JournalCorrupt, JournalError, PathTaken
from collector.journal import backup as backups
from collector.journal.reindexing import reindex
from collector.lock import LockFile
from tests.journal import samples
from tests.journal.world import World, spend, world


@pytest.fixture
def w(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path / "events.db") as made:
        yield made


def fill(w: World, count: int, seed: int = 0) -> None:
    rng = random.Random(f"{seed} {w.journal.last_seq}")
    assert all(r.ok for r in w.record([samples.draft(rng, w.now) for _ in range(count)]))


def seqs(path: Path) -> list[int]:
    with world(path) as copy:
        return [entry.seq for entry in copy.entries()]


def test_a_backup_is_one_moment_while_recording_goes_on(w: World, tmp_path: Path) -> None:
    for seed in range(4):
        fill(w, 1500, seed)
    target = tmp_path / "copy.db"
    started, recorded = threading.Event(), 0
    errors: list[BaseException] = []

    def copy() -> None:
        try:
            backups.backup(w.path, target, lambda done, total: started.set())
        except BaseException as error:
            errors.append(error)
            started.set()

    thread = threading.Thread(target=copy)
    thread.start()
    while thread.is_alive() and recorded < 50:
        fill(w, 100, recorded)
        recorded += 1
    assert started.wait(30)
    thread.join(30)
    assert not errors
    assert backups.verify(target) == []
    stored = seqs(target)
    assert stored == list(range(1, len(stored) + 1))
    assert 6000 <= len(stored) <= w.journal.last_seq
    assert len(stored) % 100 == 0, "no half of a commit"


def test_a_backup_replaces_a_backup_and_nothing_else(w: World, tmp_path: Path) -> None:
    fill(w, 10)
    target = tmp_path / "copy.db"
    backups.backup(w.path, target)
    fill(w, 10)
    backups.backup(w.path, target)
    assert len(seqs(target)) == 20
    letter = tmp_path / "letter.txt"
    letter.write_text("dear Ada")
    with pytest.raises(PathTaken):
        backups.backup(w.path, letter)
    assert letter.read_text() == "dear Ada"
    assert sorted(p.name for p in tmp_path.glob(".*")) == []


def test_restore_puts_the_old_journal_aside_and_gives_a_new_id(tmp_path: Path) -> None:
    path, copy = tmp_path / "events.db", tmp_path / "copy.db"
    with world(path) as w:
        fill(w, 30)
        backups.backup(path, copy)
        fill(w, 30)
        old_id = w.journal.id
    aside = backups.restore(copy, path)
    assert aside is not None
    assert len(seqs(aside)) == 60
    with world(path) as w:
        assert len(w.entries()) == 30
        assert w.journal.id != old_id, "a cursor beyond the backup must be told"
        fill(w, 1)


def test_restore_refuses_while_a_daemon_runs_and_a_damaged_backup(tmp_path: Path) -> None:
    path, copy = tmp_path / "events.db", tmp_path / "copy.db"
    with world(path) as w:
        fill(w, 200)
        backups.backup(path, copy)
    lock = LockFile(f"{path}.lock")
    try:
        with pytest.raises(AlreadyRunning):
            backups.restore(copy, path)
    finally:
        lock.release()
    copy.write_bytes(copy.read_bytes()[:8192] + b"\0" * 4096 + copy.read_bytes()[12288:])
    with pytest.raises(JournalError):
        backups.restore(copy, path)
    assert len(seqs(path)) == 200


# ── verify ──────────────────────────────────────────────────────────────────────────────────────


def test_verify_is_content_with_a_journal_in_the_midst_of_everything(tmp_path: Path) -> None:
    with world(tmp_path / "events.db", small=True) as w:
        for seed in range(6):
            fill(w, 100, seed)
            w.step("words", seed)
            w.step("postings", seed)
            spend(w.pruner.oldest(20, "entries"))
            assert w.rooms.backup.verify(w.path) == []


def test_verify_finds_a_changed_byte_in_any_entry(tmp_path: Path) -> None:
    """Random damage within the log's pages: SQLite's own check misses what only changes content."""
    path = tmp_path / "events.db"
    with world(path, small=True) as w:
        fill(w, 640)
        w.follow()
        log = {n for (n,) in w.journal.connection.execute(
            "SELECT pageno FROM dbstat WHERE name = 'log' AND pagetype = 'leaf'")} if _dbstat(w) else set()  # fmt: skip # noqa: E501
        verify = w.rooms.backup.verify
    good, rng = path.read_bytes(), random.Random(11)
    if not log:
        pytest.skip("this SQLite is built without dbstat")
    missed = []
    for _ in range(40):
        bad = bytearray(good)
        at = (rng.choice(sorted(log)) - 1) * 4096 + 2048 + rng.randrange(2000)
        before = bytes(bad[at : at + 16])
        bad[at : at + 16] = rng.randbytes(16)
        path.write_bytes(bad)
        try:
            found = verify(path)
        except JournalCorrupt as error:
            found = [str(error)]
        if not found and before != bad[at : at + 16]:
            missed.append(at)
    assert missed == []


def _dbstat(w: World) -> bool:
    try:
        w.journal.connection.execute("SELECT 1 FROM dbstat LIMIT 1")
    except sqlite3.OperationalError:
        return False
    return True


def test_verify_finds_a_reference_to_nothing(w: World) -> None:
    fill(w, 20)
    w.journal.connection.execute("DELETE FROM principals WHERE principal = (SELECT actor FROM log)")
    assert any("actor" in problem for problem in backups.verify(w.path))


def test_verify_refuses_what_is_no_journal(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as made:
        made.execute("CREATE TABLE theirs (x)")
    made.close()
    with pytest.raises(JournalCorrupt):
        backups.verify(other)
    with pytest.raises(JournalError):
        backups.verify(tmp_path / "nothing.db")


# ── reindex ─────────────────────────────────────────────────────────────────────────────────────


def test_reindexing_builds_the_same_anew(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    derived = ("postings", "words", "checksums", "chunks", "ids")
    with world(path) as w:
        for seed in range(7):
            fill(w, 2500, seed)
        while w.followers[1].lag:
            spend(w.followers[1].steps())
        w.follow()
        before = {t: w.journal.connection.execute(f"SELECT * FROM {t}").fetchall() for t in derived}
        totals = w.journal.connection.execute("SELECT * FROM totals").fetchall()
        for table in derived:
            w.journal.connection.execute(f"DELETE FROM {table} WHERE random() % 2")
    assert reindex(path) == 17_500
    with world(path) as w:
        for table in derived:
            assert w.journal.connection.execute(f"SELECT * FROM {table}").fetchall() == before[table], table  # fmt: skip # noqa: E501
        assert w.journal.connection.execute("SELECT * FROM totals").fetchall() == totals
    assert backups.verify(path) == []


def test_reindexing_refuses_while_a_daemon_runs(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with world(path):
        lock = LockFile(f"{path}.lock")
        try:
            with pytest.raises(AlreadyRunning):
                reindex(path)
        finally:
            lock.release()
