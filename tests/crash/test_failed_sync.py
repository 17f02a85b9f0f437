"""A sync that fails while derived commits are not synced, with and without a reader: nothing is lost.

The pages of those commits are clean and not on the disk after it. Whatever is acknowledged later
stands behind them in the log. Every power cut is replayed, from the recorded writes and syncs.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from collector.journal.wal import wal_of
from collector.journal.writer import Journal
from tests.crash.disk import STRACE, Call, Disk, calls
from tests.crash.life_with_a_failed_sync import LATER
from tests.crash.power_cuts import Seen, cut_everywhere, replayed
from tests.requirements import need_tool

ROOT = Path(__file__).parents[2]


READERS = pytest.mark.parametrize("reader", ["alone", "reader"])


@READERS
def test_what_is_acknowledged_after_a_failed_sync_outlives_every_power_cut(
    reader: str, tmp_path: Path
) -> None:
    seen = _went_on(tmp_path, reader)
    assert seen.acknowledged >= 200 + LATER
    assert seen.cuts >= 150
    assert seen.lost == []


@pytest.mark.parametrize(
    ("reader", "mutant"),
    [
        ("alone", "none"),  # nothing is done
        ("reader", "passive"),  # a checkpoint is tried, and is not complete
        ("alone", "emptied"),  # a checkpoint is complete, and copied what the log does not have
    ],
)
def test_a_log_that_is_not_written_again_is_noticed(
    reader: str, mutant: str, tmp_path: Path
) -> None:
    assert len(_went_on(tmp_path, reader, mutant).lost) >= 5


@READERS
def test_what_is_acknowledged_after_a_restart_that_follows_it_outlives_every_power_cut(
    reader: str, tmp_path: Path
) -> None:
    """The reader leaves before the start: beside it there would be none (75)."""
    seen = _started_again(tmp_path, reader)
    assert seen.acknowledged >= 200 + LATER
    assert seen.cuts >= 100
    assert seen.lost == []


def test_a_start_that_does_not_write_the_log_again_is_noticed(tmp_path: Path) -> None:
    assert len(_started_again(tmp_path, "alone", "start").lost) >= 5


def _went_on(folder: Path, reader: str, mutant: str = "") -> Seen:
    """Power cuts from the failure on."""
    failing, disk = _prepared(folder, reader)
    made = iter(_watched(folder, "whole", reader, mutant, failing))
    told = replayed(disk, made, until_failed=True)
    return cut_everywhere(disk, made, told, folder / "cut")


def _started_again(folder: Path, reader: str, mutant: str = "") -> Seen:
    """Power cuts over the second part; the disk fails in the first."""
    failing, disk = _prepared(folder, reader)
    told = replayed(disk, _watched(folder, "first", reader, "", failing))
    made = _watched(folder, "second", "alone", mutant)
    return cut_everywhere(disk, made, told, folder / "cut")


def _prepared(folder: Path, reader: str) -> tuple[str, Disk]:
    """The failure to be injected, at the right one of the syncs, and the disk as it is before."""
    database = folder / "events.db"
    Journal.open(database).close()
    fresh = database.read_bytes()
    made = _watched(folder, "first", reader, "")
    at = next(n for n, call in enumerate(made) if call.data == b"SYNC")
    count = sum(call.name == "fdatasync" for call in made[:at])
    for file in folder.glob("events.db*"):
        file.unlink()
    database.write_bytes(fresh)
    failing = f"inject=fdatasync:error=EIO:when={count + 1}"
    return failing, Disk(database, wal_of(database))


def _watched(folder: Path, part: str, reader: str, mutant: str, inject: str = "") -> list[Call]:
    """The calls that a part of the life makes; without a failure it ends where that is missing."""
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
    if not mutant and (inject or part == "second"):
        assert done.returncode == 0, done.stderr
    return list(calls(trace.read_text()))
