"""Backups while the daemon writes, the way back, and a `verify` that finds what SQLite does not."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.errors import AlreadyRunning, JournalError, PathTaken
from collector.journal import backup as backups
from collector.journal import succession
from collector.journal.verifying import verify
from collector.lock import LockFile
from tests.journal.earlier import VERSIONS, load
from tests.journal.world import World, fill, spend, world


@pytest.fixture
def w(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path / "events.db") as made:
        yield made


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
    assert verify(target) == []
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


def test_a_backup_never_takes_the_place_of_a_journal_in_use(w: World, tmp_path: Path) -> None:
    fill(w, 10)
    link = tmp_path / "link.db"
    link.symlink_to(w.path)
    for end in ("", "-wal", "-shm", "-journal"):
        with pytest.raises(PathTaken):
            backups.backup(w.path, w.path.with_name(w.path.name + end))
    with pytest.raises(PathTaken, match="the journal itself"):
        backups.backup(w.path, link)
    other = tmp_path / "other" / "events.db"
    other.parent.mkdir()
    with world(other) as theirs:
        fill(theirs, 5)
        lock = LockFile(f"{other}.lock")
        with pytest.raises(PathTaken, match=f"running daemon \\(pid {os.getpid()}\\)"):
            backups.backup(w.path, other)
        lock.release()
        # Nobody holds it any more, and yet its last entries are only in the log beside it.
        with pytest.raises(PathTaken, match=r"events\.db-wal"):
            backups.backup(w.path, other)
    assert len(seqs(other)) == 5
    backups.backup(w.path, other)
    assert len(seqs(other)) == 10


def test_a_log_left_behind_is_never_taken_for_a_copys_own(w: World, tmp_path: Path) -> None:
    fill(w, 10)
    (tmp_path / "copy.db-wal").write_bytes(b"somebody else's entries")
    with pytest.raises(PathTaken, match=r"copy\.db-wal"):
        backups.backup(w.path, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


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


def test_restore_keeps_the_backups_ledger_and_names_what_it_abandons(tmp_path: Path) -> None:
    path, copy = tmp_path / "events.db", tmp_path / "copy.db"
    with world(path) as w:
        fill(w, 50)
        spend(w.pruner.oldest(20, "entries"))
        backups.backup(path, copy)
        ledger = w.pruner.ledger.status()
        fill(w, 30)
        spend(w.pruner.oldest(5, "bytes"))
        abandoned = w.journal.id
    backups.restore(copy, path)
    with world(path) as w:
        assert w.pruner.ledger.status() == ledger
        assert w.pruner.entries == 30
        old = succession.predecessor(w.journal)
        assert old is not None
        assert (old["journal_id"], old["last_seq"]) == (abandoned, 80)
        said = {"abandoned_journal": abandoned, "abandoned_seq": 80}
        assert succession.unreported(w.journal) == said
        with w.journal.transaction():
            succession.mark_reported(w.journal)
        assert succession.unreported(w.journal) == {}
        backups.backup(path, copy)
    assert verify(path) == []
    path.write_bytes(b"what was a journal")
    backups.restore(copy, path)  # over what cannot be read
    with world(path) as w:
        said = {"abandoned_journal": None, "abandoned_seq": None}
        assert succession.unreported(w.journal) == said
    path.unlink()
    backups.restore(copy, path)  # and where nothing was
    with world(path) as w:
        assert succession.predecessor(w.journal) is None


@pytest.mark.parametrize("version", VERSIONS)
def test_a_backup_of_an_earlier_schema_is_restored_and_taken_over(
    tmp_path: Path, version: int
) -> None:
    copy, path = load(tmp_path / "copy.db", version), tmp_path / "events.db"
    backups.restore(copy, path)
    with world(path) as w:
        assert w.pruner.entries == 181
        assert w.pruner.ledger.counts() == {"before_ledger": 55}
    assert verify(path) == []
