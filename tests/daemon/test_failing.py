"""What ends the daemon: a disk that goes on failing, a log that is not what it was; not a busy one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from collector.daemon.failing import Failing
from collector.errors import JournalBusy, JournalError, JournalFull, JournalIOError, JournalTorn
from collector.intake import GIVE_UP_AFTER

pytestmark = pytest.mark.anyio


def _unasked(looking: bool, damage: JournalError | None) -> None:
    raise AssertionError("nothing speaks of damage")


@pytest.mark.parametrize(
    ("error", "seconds", "ends"),
    [
        (JournalIOError("no sync"), GIVE_UP_AFTER - 1, False),
        (JournalIOError("no sync"), GIVE_UP_AFTER, True),
        (JournalBusy("somebody writes"), 100 * GIVE_UP_AFTER, False),
        (JournalFull("no room"), 100 * GIVE_UP_AFTER, False),
        (JournalTorn("a hole"), 0.0, True),
    ],
)
async def test_the_daemon_gives_up_where_waiting_would_not_help(
    tmp_path: Path, error: JournalError, seconds: float, ends: bool
) -> None:
    ended = asyncio.get_running_loop().create_future()
    failing = Failing(tmp_path / "events.db", lambda: 1000.0 + seconds, ended, _unasked)
    failing.note(error, 1000.0)
    assert ended.done() == ends
    if ends:
        assert ended.result() is error


async def test_trouble_is_said_once_in_ten_seconds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    failing = Failing(
        tmp_path / "events.db", lambda: now, asyncio.get_running_loop().create_future(), _unasked
    )
    for _ in range(300):
        failing.note(JournalIOError("no sync"), 0.0)
        now += 0.1
    assert len(caplog.records) == 3
    assert "and 99 more like it" in caplog.records[-1].getMessage()
