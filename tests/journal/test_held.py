"""What counts as a hold: a checkpoint that does not come to where the log ended, however often tried."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from collector.journal.held import HELD_AFTER, Held
from collector.journal.holders import Holder
from collector.journal.writer import Journal

SHELL, BACKUP = Holder(7, "sqlite3"), Holder(8, "python3", "backup")


class Watched:
    """A `Held` on a clock that is moved by hand, and the readers that it finds."""

    def __init__(self) -> None:
        self.now = 100.0
        self.readers: list[Holder] = []
        self.looks = 0
        self.held = Held(Path("events.db"), monotonic=lambda: self.now, look=self._look)

    def _look(self, path: Path) -> list[Holder]:
        self.looks += 1
        return self.readers

    def after(self, seconds: float, frames: int, copied: int, *, busy: bool = False) -> Held:
        self.now += seconds
        self.held.note(frames, copied, busy=busy)
        return self.held


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_a_complete_checkpoint_is_no_hold_and_looks_at_nobody(watched: Watched) -> None:
    held = watched.after(0, 10, 10)
    assert (held.since, held.seconds, held.lasts, held.status()) == (None, 0.0, False, None)
    assert watched.looks == 0


def test_a_snapshot_that_stays_is_one_hold_from_the_first_try_on(watched: Watched) -> None:
    watched.readers = [SHELL]
    watched.after(0, 100, 40)
    for frames in range(101, 110):
        assert not watched.after(1, frames, 40).lasts
    held = watched.after(1, 120, 40)
    assert held.lasts
    assert held.seconds == HELD_AFTER
    assert held.status() == {
        "by": "pid 7 (sqlite3)",
        "seconds": 10.0,
        "readers": [{"pid": 7, "comm": "sqlite3", "verb": ""}],
    }
    assert watched.after(1, 130, 130).status() is None


def test_readers_that_overlap_and_each_let_it_pass_are_no_hold(watched: Watched) -> None:
    """Never complete in a minute: each time somebody reads what the last checkpoint came to."""
    for second in range(60):
        assert not watched.after(1, 100 + 10 * second, 90 + 10 * second).lasts
    assert watched.held.seconds < HELD_AFTER


def test_a_log_that_began_anew_is_another_hold(watched: Watched) -> None:
    watched.after(0, 100, 40)
    assert watched.after(9, 30, 5).seconds == 0
    assert watched.after(9, 60, 5).seconds == 9


def test_a_checkpoint_that_could_not_begin_is_a_hold_and_none_that_passed(watched: Watched) -> None:
    """SQLite tells -1 of -1 frames then, which looks complete."""
    watched.after(0, -1, -1, busy=True)
    assert watched.after(11, -1, -1, busy=True).lasts


def test_who_was_there_at_each_look_is_it_and_not_who_passes_by(watched: Watched) -> None:
    watched.readers = [Holder(5, "python3", "query"), SHELL]
    watched.after(0, 100, 40)
    watched.readers = [SHELL, Holder(9, "python3", "tail")]
    assert watched.after(2, 110, 40).by == [SHELL]
    watched.readers = [BACKUP]
    assert watched.after(2, 110, 40).by == [BACKUP], "all of them have gone, and somebody came"
    watched.readers = []
    assert watched.after(2, 110, 40).by == [], "unknown"


def test_a_look_tells_whether_all_are_still_there(watched: Watched) -> None:
    watched.readers = [SHELL, BACKUP]
    watched.after(0, 100, 40)
    assert watched.held.look()
    watched.readers = [SHELL]
    assert not watched.held.look()
    assert watched.held.look()
    watched.readers = []
    assert not watched.held.look()


def test_an_unknown_reader_is_told_as_unknown(watched: Watched) -> None:
    watched.after(0, 100, 40)
    status = watched.after(11, 100, 40).status()
    assert status is not None
    assert status["by"] == "an unknown reader (of another pid namespace)"


# ── on a journal ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal.open(tmp_path / "events.db")
    yield journal
    journal.close()


@contextmanager
def snapshot(journal: Journal) -> Iterator[None]:
    reader = sqlite3.connect(f"file:{journal.path}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM facts").fetchone()
    yield
    reader.close()


def write(journal: Journal) -> None:
    with journal.transaction():
        journal.set_fact("opened", 2)


@pytest.mark.parametrize("empty", [True, False])
def test_a_journal_knows_from_its_own_checkpoints(journal: Journal, *, empty: bool) -> None:
    """A snapshot of the file alone (`empty`) has another lock than one of the log."""
    if not empty:
        write(journal)
    else:
        assert journal.wipe()
    with snapshot(journal):
        write(journal)
        assert not journal.checkpoint()
        assert journal.held.since is not None
        assert journal.held.by
    assert journal.checkpoint()
    assert journal.held.since is None


def test_what_a_checkpoint_would_add_is_less_than_the_log(journal: Journal) -> None:
    """Pages that are written again and again are in the log each time, and in the file once."""
    assert journal.checkpoint()
    assert journal.growth() == 0
    with snapshot(journal):
        for number in range(200):
            write(journal)
            with journal.transaction():
                journal.set_fact("big", "x" * 200_000 if number == 0 else "y")
        size = journal.path.stat().st_size
        growth = journal.growth()
        assert 200_000 < growth < journal.wal_bytes() / 3
    assert journal.checkpoint()
    assert journal.growth() == 0
    assert journal.path.stat().st_size == size + growth
