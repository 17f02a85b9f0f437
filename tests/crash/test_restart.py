"""After a sync that failed, whatever follows: a power cut takes nothing that was acknowledged.

A failed fdatasync leaves frames in the write-ahead log that programs can read and the disk will never
have. A daemon that came back and appended to them would acknowledge what a power cut then takes away:
on the disk its frames stand behind a hole. So a start writes the log again and empties it before it
listens. Every power cut after the restart is replayed, from the recorded writes; a daemon that does
neither shows that the replay would see it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.crash.disk import STRACE, Call, Disk, calls
from tests.crash.power_cuts import Seen, cut_everywhere, replayed
from tests.daemon.harness import Line, RunningDaemon, until
from tests.journal.readers import perhaps_held
from tests.requirements import need_tool

AS_IT_LIES: Final = """
import collector.journal.connection as c, collector.cli as cli
c.recovery.write_log_again = lambda *arguments: None
c.recovery.emptied = lambda *arguments: True
raise SystemExit(cli.main())
"""
SYNCS: Final = 40
"""More syncs than a start needs: from this one on the first run's disk fails."""
BATCH: Final = 60
"""Events of the commit whose sync fails: several pages of the log, so that whole pages get lost."""
LATER: Final = 40
"""Events acknowledged after the restart, one at a time."""

READERS = pytest.mark.parametrize("reader", [False, True], ids=["alone", "reader"])
Make = Callable[..., RunningDaemon]


@READERS
def test_a_restart_after_a_failed_sync_loses_nothing_at_any_power_cut(
    make: Make, tmp_path: Path, reader: bool
) -> None:
    seen = _restarted(make(), tmp_path, reader=reader)
    assert seen.acknowledged >= LATER
    assert seen.cuts >= 60
    assert seen.lost == []


def test_a_restart_that_takes_the_log_as_it_lies_is_noticed(make: Make, tmp_path: Path) -> None:
    seen = _restarted(make(), tmp_path, AS_IT_LIES)
    assert seen.acknowledged >= LATER
    assert len(seen.lost) >= LATER


@READERS
def test_a_daemon_that_goes_on_after_a_failed_sync_loses_nothing_at_any_power_cut(
    make: Make, tmp_path: Path, reader: bool
) -> None:
    daemon, strace = make(), need_tool("strace")
    daemon.start()
    assert daemon.stop() == 0
    disk = Disk(daemon.database, daemon.database.with_name("events.db-wal"))
    inject = f"inject=fdatasync:error=EIO:when={SYNCS}..{SYNCS + 1}"
    trace = tmp_path / "trace"
    daemon.start(prefix=[strace, *STRACE, "-o", str(trace), "-e", inject])
    with daemon.line() as line, perhaps_held(daemon.database, reader):
        _until_it_fails(line)
        until(lambda: line.ask(_event(0))["ok"], daemon.said)
        for number in range(LATER):
            assert line.ask(_event(number))["ok"]
    _kill(daemon)
    made = calls(trace.read_text())
    told = replayed(disk, made, until_failed=True)
    seen = cut_everywhere(disk, made, told, tmp_path / "cut")
    assert seen.acknowledged >= LATER
    assert seen.cuts >= 60
    assert seen.lost == []


def _restarted(
    daemon: RunningDaemon, folder: Path, script: str | None = None, *, reader: bool = False
) -> Seen:
    """Have a commit's sync fail, kill, start again as `script` has it, record, and cut the power.

    A reader leaves with the killed daemon: beside it there would be no start.
    """
    strace = need_tool("strace")
    daemon.start()
    assert daemon.stop() == 0
    disk = Disk(daemon.database, daemon.database.with_name("events.db-wal"))
    told = replayed(disk, _failed(daemon, strace, folder / "failed", reader))
    daemon.start(prefix=[strace, *STRACE, "-o", str(folder / "again")], script=script)
    with daemon.line() as line:
        for number in range(LATER):
            assert line.ask(_event(number))["ok"]
    _kill(daemon)
    return cut_everywhere(disk, calls((folder / "again").read_text()), told, folder / "cut")


def _failed(daemon: RunningDaemon, strace: str, trace: Path, reader: bool) -> Iterator[Call]:
    """The calls of a run whose disk fails in the midst of recording, until it is killed."""
    inject = f"inject=fdatasync:error=EIO:when={SYNCS}+"
    daemon.start(prefix=[strace, *STRACE, "-o", str(trace), "-e", inject])
    with daemon.line() as line, perhaps_held(daemon.database, reader):
        _until_it_fails(line)
        _kill(daemon)
    return calls(trace.read_text())


def _until_it_fails(line: Line) -> None:
    """Record in batches of one commit each, until one is refused."""
    for _ in range(SYNCS):
        line.send(*map(_event, range(BATCH)))
        answers = line.replies(BATCH)
        if not answers[-1]["ok"]:
            break
    assert {answer.get("code") for answer in answers} == {"io_error"}


def _kill(daemon: RunningDaemon) -> None:
    """Only the daemon: strace has still to write down what it saw."""
    os.kill(daemon.pid(), signal.SIGKILL)
    daemon.ended()


def _event(number: int) -> dict[str, Any]:
    return {"action": "power.cut", "metadata": {"n": number, "text": "x" * 300}}
