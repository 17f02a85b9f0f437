"""Each acknowledgement follows the sync that covers it: seen from outside, by strace.

What was written to the WAL since its last fdatasync is not safe; a reply that leaves in between is a
lie. Followers commit without a sync of their own, but never between a recording commit and its
replies, so a send with anything unsynced in the WAL is wrong without exception. And between what
was last read from a connection and what is sent to it there must be a sync, or nothing was written.
The test of the test: daemons that are broken on purpose.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.crash.disk import WATCHING
from tests.crash.mutants import EARLY, NORMAL, RUN
from tests.daemon.harness import Line, RunningDaemon, until
from tests.journal.readers import perhaps_held
from tests.requirements import need_tool

CALLS: Final = "pwrite64,fdatasync,fsync,recvfrom,sendto,sendmsg,write,writev"
_LINE: Final = re.compile(r"(?:(?P<pid>\d+) +)?(?P<call>\w+)\((?P<fd>\d+)<(?P<path>[^>]*)>")
_RESUMED: Final = re.compile(r"\d+ +<\.\.\. fd?a?t?a?sync resumed>.*= 0$")
_ACKNOWLEDGED: Final = '"{\\"ok\\":true,\\"seq\\"'


@pytest.fixture
def strace() -> str:
    return need_tool("strace")


@pytest.mark.parametrize("reader", [False, True], ids=["alone", "reader"])
def test_every_acknowledgement_follows_the_sync_that_covers_it(
    strace: str, make: Callable[..., RunningDaemon], tmp_path: Path, reader: bool
) -> None:
    sends, early = _watched(make(), strace, tmp_path / "trace", reader=reader)
    assert sends >= 300
    assert early == []


@pytest.mark.parametrize(
    "script", [NORMAL + RUN, EARLY + RUN], ids=["synchronous=NORMAL", "acknowledge first"]
)
def test_a_daemon_that_breaks_the_order_is_noticed(
    strace: str, make: Callable[..., RunningDaemon], tmp_path: Path, script: str
) -> None:
    sends, early = _watched(make(), strace, tmp_path / "trace", script)
    assert sends >= 300
    assert len(early) > sends / 4


def _watched(
    daemon: RunningDaemon,
    strace: str,
    trace: Path,
    script: str | None = None,
    *,
    reader: bool = False,
) -> tuple[int, list[str]]:
    """Acknowledgements sent under load, and those that came before their sync."""
    prefix = [strace, *WATCHING, "-yy", "-s", "16", "-o", str(trace)]
    prefix += ["-e", f"trace={CALLS}"]
    daemon.start(prefix=prefix, script=script)
    senders = [threading.Thread(target=_send, args=(daemon.socket,)) for _ in range(3)]
    with perhaps_held(daemon.database, reader):
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        daemon.kill()
    until(lambda: trace.exists())
    return _judged(trace.read_text())


def _send(path: Path) -> None:
    with Line(path) as line:
        for _ in range(100):
            assert line.ask({"action": "order.kept"})["ok"]
        line.send(*[{"action": "order.kept"}] * 1500)
        line.replies(1500)


def _judged(trace: str) -> tuple[int, list[str]]:
    sends, early, unsafe, syncing = 0, [], False, ""
    unanswered: set[str] = set()  # connections that were read from since the last sync
    for text in trace.splitlines():
        match = _LINE.match(text)
        if match is None:
            if _RESUMED.match(text) and text.split()[0] == syncing:
                unsafe, syncing = False, ""
                unanswered.clear()
            continue
        call, path = match["call"], match["path"]
        if path.endswith("events.db-wal"):
            if call == "pwrite64":
                unsafe = True
            elif call in ("fdatasync", "fsync") and text.rstrip().endswith("= 0"):
                unsafe = False
                unanswered.clear()
            elif call in ("fdatasync", "fsync") and "<unfinished" in text:
                syncing = match["pid"]
        elif path.startswith("UNIX") and call == "recvfrom":
            unanswered.add(match["fd"])
        elif path.startswith("UNIX") and _ACKNOWLEDGED in text:
            sends += 1
            if unsafe or match["fd"] in unanswered:
                early.append(text)
    return sends, early
