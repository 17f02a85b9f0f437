"""What a transaction rests on: a sync where it is acknowledged, and a log that is on the disk."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from collector.errors import JournalBusy, JournalError, JournalTorn
from collector.event import Draft
from collector.journal import wal, wal_index
from collector.journal.followers.base import derived
from collector.journal.transactions import UNSYNCED_FRAMES
from collector.journal.wal import wal_of
from collector.journal.writer import Journal
from tests.journal.readers import held_elsewhere, holding
from tests.journal.world import World, fill, world

FULL, NORMAL = 2, 1


@pytest.fixture
def w(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path / "events.db") as made:
        yield made


def level(w: World) -> int:
    """The value of `PRAGMA synchronous`."""
    found: int = w.journal.connection.execute("PRAGMA synchronous").fetchone()[0]
    return found


def position(w: World) -> wal_index.Position:
    found: wal_index.Position | None = w.journal._index.position()
    assert found is not None
    return found


def derive(w: World, name: str = "derived", size: int = 3000) -> None:
    with derived(w.journal):
        w.journal.set_fact(name, "x" * size)


def a_sync_fails(w: World) -> None:
    """Tell the journal what a sync that fails tells it (strace makes one fail in tests/crash)."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    w.journal._doubt(error)


class Written:
    """What is written to the log again, from frame to frame."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.frames: list[tuple[int, int]] = []
        again = wal.write_again

        def write_again(file: Path, end: wal_index.Position, after: int) -> None:
            self.frames.append((after, end.frames))
            again(file, end, after)

        monkeypatch.setattr("collector.journal.transactions.write_again", write_again)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Written:
    return Written(monkeypatch)


# ── synchronous ─────────────────────────────────────────────────────────────────────────────────


def test_derived_commits_are_not_synced_and_all_others_are(w: World) -> None:
    with derived(w.journal):
        assert level(w) == NORMAL
    assert level(w) == FULL
    with w.journal.transaction():
        assert level(w) == FULL


class Denial:
    """Makes SQLite refuse one statement, as a read of the schema that fails would."""

    def __init__(self, w: World, value: str) -> None:
        self.times = 0
        self._value = value
        w.journal.connection.set_authorizer(self._decide)

    def _decide(self, what: int, name: str | None, value: str | None, *_: Any) -> int:
        if what == sqlite3.SQLITE_PRAGMA and (name, value) == ("synchronous", self._value):
            self.times += 1
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK


def test_nothing_is_acknowledged_while_commits_are_not_known_to_be_synced(w: World) -> None:
    denial = Denial(w, "FULL")
    with pytest.raises(JournalError):
        derive(w)
    assert level(w) == NORMAL, "the case in question"
    for _ in range(3):
        (receipt,) = w.record([Draft(action="a.b")])
        assert (receipt.ok, receipt.code) == (False, "io_error")
        w.now += 10
    assert denial.times >= 4
    with pytest.raises(JournalError):
        w.journal.begin()
    w.journal.connection.set_authorizer(None)
    assert w.record([Draft(action="a.b")])[0].ok
    assert level(w) == FULL
    assert [entry.seq for entry in w.entries()] == [1]


def test_a_derived_commit_that_cannot_be_relaxed_leaves_all_as_it_was(w: World) -> None:
    Denial(w, "NORMAL")
    with pytest.raises(JournalError):
        derive(w)
    assert level(w) == FULL
    assert w.record([Draft(action="a.b")])[0].ok


def test_a_fault_in_a_derived_transaction_leaves_it_and_its_level(w: World) -> None:
    def fails() -> None:
        with derived(w.journal):
            w.journal.set_fact("half", 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert not w.journal.connection.in_transaction
    assert level(w) == FULL
    assert w.journal.fact("half") is None
    assert w.record([Draft(action="a.b")])[0].ok


@pytest.mark.parametrize("how", ["transaction", "record"])
def test_no_fault_leaves_a_transaction_open(w: World, how: str) -> None:
    def fails() -> None:
        w.journal.set_fact("half", 1)
        raise ZeroDivisionError

    if how == "transaction":
        with pytest.raises(ZeroDivisionError), w.journal.transaction():
            fails()
    else:
        w.intake.record(Draft(action="a.b"), source="queue", settles=fails)
    assert not w.journal.connection.in_transaction
    assert w.record([Draft(action="a.b")])[0].ok
    assert w.journal.fact("half") is None


# ── what is not synced ──────────────────────────────────────────────────────────────────────────


def test_the_index_of_the_log_is_read_as_sqlite_has_it(w: World) -> None:
    fill(w, 50)
    derive(w)
    before = position(w)
    row = w.journal.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    assert (row[1], row[2]) == (before.frames, before.frames)
    assert position(w).backfilled == before.frames
    fill(w, 1)
    assert position(w).salts != before.salts, "the log began anew"
    with holding(w.path):
        end = position(w)
        derive(w)
        w.journal.checkpoint()
        assert position(w).backfilled == end.frames < position(w).frames


def test_not_much_is_ever_unsynced(w: World) -> None:
    most = 0
    with holding(w.path):
        fill(w, 1)
        synced = position(w).frames
        for n in range(UNSYNCED_FRAMES // 2):
            derive(w, f"derived.{n % 7}", 20_000)
            end = position(w).frames
            if w.journal._synced is None:
                synced = end
            most = max(most, end - synced)
    assert UNSYNCED_FRAMES / 2 < most < UNSYNCED_FRAMES * 1.2


def test_not_much_is_ever_unsynced_of_a_log_that_began_anew_either(w: World) -> None:
    with w.journal.transaction():
        w.journal.set_fact("long", "x" * 600 * 4096)
    derive(w)
    w.journal.checkpoint()
    most = 0
    while w.journal._synced is not None:
        most = max(most, position(w).frames)
        derive(w, "anew", 20_000)
    assert UNSYNCED_FRAMES / 2 < most < UNSYNCED_FRAMES * 1.2


def test_where_the_index_cannot_be_found_every_commit_is_synced(
    w: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, written: Written
) -> None:
    monkeypatch.setattr(wal_index, "_MAPS", tmp_path / "none")
    with derived(w.journal):
        assert level(w) == FULL
    a_sync_fails(w)
    assert w.record([Draft(action="a.b")])[0].ok
    assert written.frames == []


def test_what_was_not_synced_is_written_again_before_anything_else_is_written(
    w: World, written: Written
) -> None:
    fill(w, 20)
    synced = position(w).frames
    derive(w)
    derive(w, "more")
    end = position(w).frames
    before = wal_of(w.path).read_bytes()
    a_sync_fails(w)
    with w.journal.transaction():
        assert written.frames == [(synced, end)]
        assert wal_of(w.path).read_bytes() == before
        w.journal.set_fact("later", 1)
    assert w.record([Draft(action="a.b")])[0].ok
    assert len(written.frames) == 1, "once is enough"


@pytest.mark.parametrize("how", ["record", "save_devices", "derive", "checkpoint", "wipe", "probe"])
def test_whoever_writes_first_after_a_failed_sync_mends_the_log(
    w: World, written: Written, how: str
) -> None:
    derive(w)
    a_sync_fails(w)
    if how == "record":
        w.record([Draft(action="a.b")])
    elif how == "save_devices":
        w.intake.save_devices(({"id": "lamp"},))
    elif how == "derive":
        derive(w)
    elif how == "probe":
        w.intake.trouble(JournalError("a sync failed"))
        w.now += 10
        w.intake.probe()
    else:
        getattr(w.journal, how)()
    assert len(written.frames) == 1


def test_a_commit_of_nothing_syncs_nothing(w: World, written: Written) -> None:
    fill(w, 20)
    synced = position(w).frames
    derive(w)
    with w.journal.transaction():
        w.journal.delete_fact("never.was")
    a_sync_fails(w)
    assert w.record([Draft(action="a.b")])[0].ok
    assert [after for after, _ in written.frames] == [synced]


def test_a_sync_that_failed_without_anything_unsynced_costs_nothing(
    w: World, written: Written
) -> None:
    derive(w)
    fill(w, 20)
    a_sync_fails(w)
    assert w.record([Draft(action="a.b")])[0].ok
    assert written.frames == []


def test_a_log_that_began_anew_since_is_written_from_its_beginning(
    w: World, written: Written
) -> None:
    fill(w, 20)
    derive(w)
    w.journal.checkpoint()
    derive(w, "anew")
    a_sync_fails(w)
    assert w.record([Draft(action="a.b")])[0].ok
    assert written.frames[0][0] == 0


@pytest.mark.parametrize("reader", [False, True], ids=["alone", "reader"])
@pytest.mark.parametrize("at", ["salt", "page", "checksum", "cut"])
def test_a_log_that_does_not_read_back_is_left_to_a_start(
    tmp_path: Path, at: str, reader: bool
) -> None:
    """A file system may put back what was there before a sync that failed."""
    w = World(tmp_path / "events.db")
    fill(w, 20)
    w.journal.checkpoint()
    fill(w, 20)
    acknowledged = [entry.seq for entry in w.entries()]
    with ExitStack() as readers:
        pid = readers.enter_context(held_elsewhere(w.path)) if reader else None
        synced = position(w).frames
        derive(w)
        damage(wal_of(w.path), 32 + synced * 4120, at)
        main = w.path.read_bytes()
        a_sync_fails(w)
        (refused,) = w.record([Draft(action="a.b")])
        assert refused.code == "io_error"
        assert isinstance(w.intake.failing.error, JournalTorn)
        for _ in range(2):
            with pytest.raises(JournalTorn):
                w.journal.checkpoint()
        w.journal.close()
        assert w.path.read_bytes() == main, "nothing was copied from such a log"
        if reader:  # who keeps SQLite's index of it, which counts on what is gone
            with pytest.raises(JournalError) as refusal:
                Journal.open(w.path, patience=0.1)
            if at != "cut":  # SQLite's own first look finds that one
                assert isinstance(refusal.value, JournalBusy)
                assert f"pid {pid} " in str(refusal.value)
            assert w.path.read_bytes() == main
    w.open()
    assert [entry.seq for entry in w.entries()] == acknowledged
    assert w.rooms.backup.verify(w.path) == []
    w.close()


def test_a_log_that_holds_another_commit_in_the_last_ones_place_is_noticed(
    w: World, tmp_path: Path
) -> None:
    """What a commit that had failed there left is a whole log too, but not the one that counts."""
    fill(w, 20)
    at = 32 + position(w).frames * 4120
    copy = tmp_path / "copy.db"
    shutil.copy(w.path, copy)
    shutil.copy(wal_of(w.path), wal_of(copy))
    derive(w)
    other = sqlite3.connect(copy, isolation_level=None)
    other.execute("PRAGMA wal_autocheckpoint = 0")
    other.execute("INSERT INTO facts VALUES ('derived', ?)", ("y" * 3000,))
    log = wal_of(copy).read_bytes()
    other.close()
    with wal_of(w.path).open("r+b") as file:
        file.seek(at)
        file.write(log[at:])
    a_sync_fails(w)
    assert not w.record([Draft(action="a.b")])[0].ok
    assert isinstance(w.intake.failing.error, JournalTorn)


# ── what checkpoints copied ─────────────────────────────────────────────────────────────────────


def half_copied(w: World, readers: ExitStack) -> wal_index.Position:
    """Beside a reader a checkpoint copies a part, and does not sync it."""
    fill(w, 30)
    readers.enter_context(held_elsewhere(w.path))
    fill(w, 30)
    assert not w.journal.checkpoint()
    end = position(w)
    assert 0 < end.backfilled < end.frames
    return end


def a_checkpoint_fails(w: World) -> None:
    """Tell the journal what a checkpoint tells it whose sync fails."""
    a_sync_fails(w)
    w.journal._copies_doubtful = True


def test_what_a_checkpoint_copied_without_a_sync_is_written_again(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: list[int] = []

    def write(descriptor: int, data: bytes, at: int) -> None:
        places.append(at)
        assert os.path.samestat(os.fstat(descriptor), os.stat(w.path))
        assert os.pread(descriptor, len(data), at) == data, "nothing changes"
        os.pwrite(descriptor, data, at)

    with ExitStack() as readers:
        half_copied(w, readers)
        before = w.entries()
        monkeypatch.setattr(wal, "_write", write)
        a_checkpoint_fails(w)
        fill(w, 1)
        assert len(places) == len(set(places)) >= 3
        written = len(places)
        fill(w, 1)
        assert len(places) == written, "once is enough"
    assert w.entries()[:-2] == before
    assert w.journal.checkpoint()


def overwrite(file: Path, at: int) -> None:
    """Change a byte, from another process: opening it here would drop SQLite's locks."""
    program = (
        "import os, sys\n"
        "os.pwrite(os.open(sys.argv[1], os.O_RDWR), bytes([0xa5]), int(sys.argv[2]))"
    )
    subprocess.run([sys.executable, "-c", program, file, str(at)], check=True)


def test_a_database_that_does_not_read_back_is_left_to_a_start(tmp_path: Path) -> None:
    w = World(tmp_path / "events.db")
    with ExitStack() as readers:
        end = half_copied(w, readers)
        entries = w.entries()
        page = copied_page(w, end)
        overwrite(w.path, (page - 1) * 4096 + 2000)
        a_checkpoint_fails(w)
        assert not w.record([Draft(action="a.b")])[0].ok
        assert isinstance(w.intake.failing.error, JournalTorn)
        w.journal.close()
        with pytest.raises(JournalBusy, match=r"does not read back .*: pid \d+ \(python"):
            Journal.open(w.path, patience=0.1)  # whose index says that it need not be copied
    w.open()
    assert w.entries() == entries
    assert w.rooms.backup.verify(w.path) == []
    w.close()


def copied_page(w: World, end: wal_index.Position) -> int:
    """A page that was copied, and that no later frame of the log has."""
    with wal_of(w.path).open("rb") as log:
        pages = list(wal._copied(log.fileno(), end))
    assert pages
    return pages[-1]


def damage(file: Path, frame: int, at: str) -> None:
    with file.open("r+b") as opened:
        if at == "cut":
            opened.truncate(frame + 100)
        else:
            opened.seek(frame + {"salt": 9, "checksum": 18, "page": 2000}[at])
            opened.write(b"\xa5")


# ── checkpoints ─────────────────────────────────────────────────────────────────────────────────


def test_a_checkpoint_says_whether_it_came_to_the_end(w: World) -> None:
    fill(w, 20)
    assert w.journal.checkpoint()
    with holding(w.path):
        fill(w, 20)
        assert not w.journal.checkpoint()
        assert not w.journal.wipe()
        assert w.journal.frames >= 1, "what is left is left to do"
    fill(w, 1)
    with holding(w.path):  # of the newest state: all can be copied, and yet the log not be emptied
        assert w.journal.checkpoint()
        assert not w.journal.wipe()
    assert w.journal.wipe()
    assert w.journal.wal_bytes() == 0
