"""A disk without a free block, when the daemon starts: an ext4 image of 24 MiB on a loop mount."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from collector.errors import JournalFull
from collector.journal import backup as backups
from collector.journal import connection
from collector.journal.migration_room import ID_BYTES, needed
from collector.journal.shape import shape
from collector.journal.space import Reserve, with_room
from collector.journal.verifying import verify
from collector.journal.writer import Journal
from tests.daemon.harness import RunningDaemon
from tests.disks import mounted

Make = Callable[..., RunningDaemon]
GOOD = {"action": "thing.done", "message": "x" * 200}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A mounted ext4 file system of 24 MiB."""
    with mounted(tmp_path, "state", 24 << 20) as folder:
        yield folder


def fill(folder: Path) -> Path:
    """Take every block that is left."""
    file = folder / "ballast"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        for size in (1 << 20, 1 << 16, 1 << 12, 1 << 10):
            block = bytes(size)
            while _written(descriptor, block):
                pass
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    assert os.statvfs(folder).f_bavail < 16
    return file


def _written(descriptor: int, block: bytes) -> bool:
    try:
        return os.write(descriptor, block) == len(block)
    except OSError:
        return False


@pytest.mark.parametrize(("on_full", "end"), [("rotate", "killed"), ("suspend", "stopped")])
def test_with_a_journal_and_its_reserve_it_starts_and_records(
    make: Make, small_disk: Path, on_full: str, end: str
) -> None:
    daemon = make(state=small_disk, storage=f'on_full = "{on_full}"').start()
    reserve = Reserve(daemon.database)
    with daemon.line() as line:
        line.ask(*[GOOD] * 500)
    if end == "stopped":
        assert daemon.stop() == 0
    else:
        daemon.kill()
    assert reserve.held
    ballast = fill(small_disk)
    daemon.start()
    assert 0 < reserve.path.stat().st_size < reserve.size(), "some of it is kept for pruning"
    with daemon.line() as line:
        answers = [line.ask(GOOD) for _ in range(20)]
    assert all(answer["ok"] for answer in answers)
    ballast.unlink()
    assert daemon.stop() == 0
    assert len(daemon.entries("thing.done")) == 520, "nothing was removed for a start"
    assert verify(daemon.database) == []
    daemon.start()
    assert reserve.held
    assert daemon.stop() == 0


def test_without_any_file_it_is_74_and_says_where(make: Make, small_disk: Path) -> None:
    daemon = make(state=small_disk)
    fill(small_disk)
    assert daemon.fails() == 74
    assert str(daemon.database) in daemon.said()
    assert "Traceback" not in daemon.said()


def test_a_restore_has_the_reserve_for_its_room(small_disk: Path, tmp_path: Path) -> None:
    path, copy = small_disk / "events.db", tmp_path / "copy.db"
    Journal.open(path).close()
    backups.backup(path, copy)
    reserve = Reserve(path)
    assert reserve.take()
    ballast = fill(small_disk)
    assert backups.restore(copy, path) is not None
    assert verify(path) == []
    ballast.unlink()


def test_a_restore_that_does_not_fit_leaves_everything(small_disk: Path, tmp_path: Path) -> None:
    path, copy = small_disk / "events.db", tmp_path / "copy.db"
    Journal.open(path).close()
    backups.backup(path, copy)
    before = path.read_bytes()
    fill(small_disk)
    with pytest.raises(JournalFull, match=r"no room to restore .*copy\.db"):
        backups.restore(copy, path)
    assert path.read_bytes() == before
    assert {file.name for file in small_disk.iterdir()} <= {
        "events.db", "events.db.lock", "ballast", "lost+found",
    }  # fmt: skip


def test_the_reserve_is_given_up_by_quarters_and_taken_back(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "events.db")
    assert reserve.take()
    sizes = []
    while reserve.shrink():
        sizes.append(reserve.path.stat().st_size if reserve.path.exists() else 0)
    whole = reserve.size()
    assert sizes == [int(whole * share) for share in (0.75, 0.5, 0.25, 0)]
    assert not reserve.held
    assert reserve.take()
    assert reserve.shrink()
    assert not reserve.held, "a part of it is no reserve to rely on"
    reserve.regrow()
    assert reserve.held
    assert reserve.path.stat().st_size == whole


def old_journal(path: Path, ids: int) -> None:
    """A journal of the first schema, with so many ids that producers chose."""
    form = shape(1)
    with closing(sqlite3.connect(path, isolation_level=None)) as made:
        made.execute("PRAGMA auto_vacuum = INCREMENTAL")
        made.execute("BEGIN")
        for sql in (*form.tables.values(), *form.indexes.values(), *form.views.values()):
            made.execute(sql)
        for name, value in (("journal_id", "x"), ("tag", 7), ("hmac_key", bytes(32))):
            made.execute("INSERT INTO facts VALUES (?, ?)", (name, value))
        made.executemany(
            "INSERT INTO ids VALUES (?, ?)", ((os.urandom(16), seq) for seq in range(1, ids + 1))
        )
        made.execute(f"PRAGMA application_id = {connection.APPLICATION_ID}")
        made.execute("PRAGMA user_version = 1")
        made.execute("COMMIT")


def test_a_migration_that_does_not_fit_leaves_the_journal_and_says_what_it_needs(
    make: Make, small_disk: Path, tmp_path: Path
) -> None:
    daemon = make(state=small_disk)
    old_journal(daemon.database, 40_000)
    assert Reserve(daemon.database).take()
    fill(small_disk)
    before = daemon.database.read_bytes()
    assert daemon.fails() == 74
    assert f"needs {256 * 1024 + ID_BYTES * 40_000:,} bytes" in daemon.said()
    assert daemon.database.read_bytes() == before
    assert Reserve(daemon.database).held, "it would not have helped, so it is kept"
    assert not daemon.database.with_name("events.db-wal").exists()


def test_a_migration_that_fits_into_the_reserve_is_made(small_disk: Path) -> None:
    path = small_disk / "events.db"
    old_journal(path, 2000)
    reserve = Reserve(path)
    assert reserve.take()
    fill(small_disk)
    with_room(reserve, lambda: Journal.open(path)).close()
    with closing(sqlite3.connect(path)) as read:
        assert read.execute("PRAGMA user_version").fetchone() == (connection.SCHEMA_VERSION,)


@pytest.mark.parametrize("ids", [0, 3000, 30_000])
def test_what_a_migration_is_said_to_need_is_enough(tmp_path: Path, ids: int) -> None:
    """The log that it fills, and what the database grows by; ids in any order fill pages worst."""
    path = tmp_path / "events.db"
    old_journal(path, ids)
    size = path.stat().st_size
    with closing(sqlite3.connect(path, isolation_level=None)) as made:
        said = needed(made, 1, connection.SCHEMA_VERSION)
        for pragma in ("journal_mode = WAL", "secure_delete = ON", "wal_autocheckpoint = 0"):
            made.execute(f"PRAGMA {pragma}").fetchall()
        connection.migrate(made, 1)
        log = Path(f"{path}-wal").stat().st_size
        made.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert log + path.stat().st_size - size <= said
