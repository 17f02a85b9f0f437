"""A sync that fails while derived commits are not synced, with and without a reader: nothing is lost.

The pages of those commits are clean and not on the disk after it. Whatever is acknowledged later
stands behind them in the log. Every power cut is replayed, from the recorded writes and syncs.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from collector.journal.wal import wal_of
from collector.journal.writer import Journal
from tests.crash.disk import STRACE, Call, Disk, calls
from tests.crash.life_with_a_failed_sync import LATER
from tests.crash.power_cuts import Seen, cut_everywhere, replayed
from tests.requirements import need_tool

ROOT = Path(__file__).parents[2]
ROUNDS: Final = int(os.environ.get("COLLECTOR_SYNC_ROUNDS", "1"))
"""Of the syncs that may fail in a whole life, how many are tried; with 100 it is each of them."""
READERS = pytest.mark.parametrize("reader", ["alone", "reader"])


@pytest.mark.parametrize("which", ["commit", "database"])
@READERS
def test_what_is_acknowledged_after_a_failed_sync_outlives_every_power_cut(
    lives: Lives, reader: str, which: str, tmp_path: Path
) -> None:
    later = lives.first_of_database(reader) if which == "database" else 0
    seen = _went_on(lives, tmp_path, reader, later=later)
    assert seen.acknowledged >= 200 + LATER
    assert seen.cuts >= 50
    assert seen.lost == []


@READERS
def test_it_does_whichever_sync_it_was(lives: Lives, reader: str, tmp_path: Path) -> None:
    """Of a checkpoint's log, of a log that begins anew, of the end."""
    seed = int(os.environ.get("COLLECTOR_SEED", random.randrange(1 << 32)))
    later = range(1, lives.syncs_after(reader))
    for number in random.Random(seed).sample(later, min(ROUNDS, len(later))):
        folder = tmp_path / str(number)
        folder.mkdir()
        seen = _went_on(lives, folder, reader, later=number)
        assert seen.lost == [], f"sync {number}, seed {seed}"


@pytest.mark.parametrize(
    ("reader", "mutant"),
    [
        ("alone", "none"),  # nothing is done
        ("reader", "passive"),  # a checkpoint is tried, and is not complete
        ("alone", "emptied"),  # a checkpoint is complete, and copied what the log does not have
    ],
)
def test_a_log_that_is_not_written_again_is_noticed(
    lives: Lives, reader: str, mutant: str, tmp_path: Path
) -> None:
    assert len(_went_on(lives, tmp_path, reader, mutant).lost) >= 5


def test_a_database_that_is_not_written_again_is_noticed(lives: Lives, tmp_path: Path) -> None:
    later = lives.first_of_database("reader")
    assert len(_went_on(lives, tmp_path, "reader", "none", later=later).lost) >= 5


@READERS
def test_what_is_acknowledged_after_a_restart_that_follows_it_outlives_every_power_cut(
    lives: Lives, reader: str, tmp_path: Path
) -> None:
    """The reader leaves before the start: beside it there would be none (75)."""
    seen = _started_again(lives, tmp_path, reader)
    assert seen.acknowledged >= 200 + LATER
    assert seen.cuts >= 100
    assert seen.lost == []


def test_a_start_that_does_not_write_the_log_again_is_noticed(lives: Lives, tmp_path: Path) -> None:
    assert len(_started_again(lives, tmp_path, "alone", "start").lost) >= 5


def _went_on(lives: Lives, folder: Path, reader: str, mutant: str = "", *, later: int = 0) -> Seen:
    """Power cuts from the failure on."""
    disk = lives.fresh(folder)
    made = iter(_watched(folder, "whole", reader, mutant, lives.failing(reader, later)))
    told = replayed(disk, made, until_failed=True)
    return cut_everywhere(disk, made, told, folder / "cut")


def _started_again(lives: Lives, folder: Path, reader: str, mutant: str = "") -> Seen:
    """Power cuts over the second part; the disk fails in the first."""
    disk = lives.fresh(folder)
    told = replayed(disk, _watched(folder, "first", reader, "", lives.failing(reader)))
    made = _watched(folder, "second", "alone", mutant)
    return cut_everywhere(disk, made, told, folder / "cut")


class Lives:
    """A fresh journal, and where in a whole life the syncs are."""

    def __init__(self, folder: Path) -> None:
        self._syncs: dict[str, tuple[int, list[str]]] = {}
        """How many there are before one is to fail, and the files of those from there on."""
        self._database = folder / "events.db"
        Journal.open(self._database).close()
        self._fresh = self._database.read_bytes()
        for reader in ("alone", "reader"):
            self.fresh(folder)
            made = _watched(folder, "whole", reader, "")
            at = next(n for n, call in enumerate(made) if call.data == b"SYNC")
            before, after = (
                [call.path for call in part if call.name == "fdatasync"]
                for part in (made[:at], made[at:])
            )
            self._syncs[reader] = len(before), after

    def fresh(self, folder: Path) -> Disk:
        """Put the journal into a folder; the disk with it."""
        database = folder / "events.db"
        for part in ("-wal", "-shm"):
            database.with_name(database.name + part).unlink(missing_ok=True)
        database.write_bytes(self._fresh)
        return Disk(database, wal_of(database))

    def syncs_after(self, reader: str) -> int:
        """How many syncs there are from where one is to fail."""
        return len(self._syncs[reader][1])

    def first_of_database(self, reader: str) -> int:
        """Which of them is the first to be the database's: of a checkpoint that comes to the end."""
        return self._syncs[reader][1].index(str(self._database))

    def failing(self, reader: str, later: int = 0) -> str:
        """What strace is told to have one of them fail."""
        return f"inject=fdatasync:error=EIO:when={self._syncs[reader][0] + 1 + later}"


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Lives:
    return Lives(tmp_path_factory.mktemp("lives"))


def _watched(folder: Path, part: str, reader: str, mutant: str, inject: str = "") -> list[Call]:
    """The calls that a part of the life makes."""
    strace, trace = need_tool("strace"), folder / "trace"
    command = [strace, *STRACE, "-o", str(trace), *(["-e", inject] if inject else [])]
    life = [sys.executable, "-m", "tests.crash.life_with_a_failed_sync"]
    done = subprocess.run(
        [*command, *life, str(folder / "events.db"), part, reader, mutant],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert mutant or done.returncode == 0, done.stderr
    return list(calls(trace.read_text()))
