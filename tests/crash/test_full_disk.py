"""A disk that is really full (a small ext4 image on a loop mount), and one that fails (strace)."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from collector.journal.backup import verify
from tests.crash.disk import WATCHING
from tests.daemon.harness import Line, RunningDaemon, entries, until
from tests.disks import fill, mounted
from tests.requirements import need, need_tool

Make = Callable[..., RunningDaemon]
TEXT = "x" * 900
QUICK = (
    "import collector.janitor.schedule as j, collector.cli as cli\n"
    "j.LOOK_EVERY = 0.3; j.RETRY_MOST = 0.3\nraise SystemExit(cli.main())"
)
"""The daemon as it is, but looking around more often than every five seconds."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A mounted ext4 file system of 24 MiB."""
    with mounted(tmp_path, "state", 24 << 20) as folder:
        yield folder


def _events(count: int) -> list[dict[str, Any] | bytes]:
    return [
        {"action": "disk.filled", "id": str(uuid.uuid4()), "message": f"{TEXT}{n}"}
        for n in range(count)
    ]


def _record(line: Line, count: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    line.send(*_events(count))
    answers = line.replies(count)
    return [a for a in answers if a["ok"]], [a for a in answers if not a["ok"]]


def test_rotate_makes_room_counts_what_it_removes_and_goes_on(make: Make, small_disk: Path) -> None:
    daemon = make(storage='on_full = "rotate"', state=small_disk).start(script=QUICK)
    until(lambda: (small_disk / "events.db.reserve").exists())
    ballast = fill(small_disk, 6 << 20)
    stored, refused = 0, 0
    full: list[dict[str, Any]] = []
    with daemon.line() as line:
        for _ in range(120):  # 12,000 events of 1 KB: twice what there is room for
            accepted, turned_away = _record(line, 100)
            stored += len(accepted)
            refused += len(turned_away)
            full = full or entries(daemon.database, "storage.full")  # it is removed in its turn
            assert {answer["code"] for answer in turned_away} <= {"storage_full"}
            assert all(answer["retry"] and answer["id"] for answer in turned_away)
        assert stored > 8_000, (stored, refused, daemon.said())
        ballast.unlink()
        until(lambda: entries(daemon.database, "storage.recovered"), daemon.said)
        assert len(_record(line, 200)[0]) == 200
    assert daemon.stop() == 0
    assert full[0]["metadata"] == {"on_full": "rotate"}
    assert full[0]["severity"] == "error"
    _accounted(daemon)


def test_suspend_refuses_keeps_everything_and_goes_on_when_there_is_room(
    make: Make, small_disk: Path
) -> None:
    daemon = make(storage='on_full = "suspend"', state=small_disk).start(script=QUICK)
    until(lambda: (small_disk / "events.db.reserve").exists())
    ballast = fill(small_disk, 4 << 20)
    stored: dict[str, int] = {}
    with daemon.line() as line:
        for _ in range(100):
            accepted, turned_away = _record(line, 100)
            stored.update({answer["id"]: answer["seq"] for answer in accepted})
            assert {answer["code"] for answer in turned_away} <= {"storage_full"}
            if turned_away and not accepted:
                break
        else:
            pytest.fail("the disk never became full")
        assert line.ask({"op": "status"})["status"]["journal"]["full"]
        assert not line.ask({"action": "not.now"})["ok"]
        ballast.unlink()
        until(lambda: line.ask({"action": "again.now"})["ok"], daemon.said)
    assert daemon.stop() == 0
    kept = {entry["id"]: entry["seq"] for entry in daemon.entries("disk.filled")}
    assert stored.items() <= kept.items()
    assert daemon.entries("storage.full")
    assert daemon.entries("storage.recovered")
    assert not daemon.entries("events.pruned")
    lost = [e["metadata"] for e in daemon.entries("events.lost")]
    assert sum(m["count"] for m in lost if m["cause"] == "storage_full") >= 1
    assert verify(daemon.database) == []


def test_a_disk_that_is_full_from_the_start_is_said_too(make: Make, small_disk: Path) -> None:
    """No reserve could be made, so there is nothing to give up; it is said when there is room."""
    daemon = make(storage='on_full = "suspend"', state=small_disk)
    daemon.start()
    assert daemon.stop() == 0
    (small_disk / "events.db.reserve").unlink()
    ballast = fill(small_disk, 512 << 10)
    daemon.start(script=QUICK)
    with daemon.line() as line:
        while len(_record(line, 50)[0]):
            pass
        ballast.unlink()
        until(lambda: line.ask({"action": "again.now"})["ok"], daemon.said)
        until(lambda: entries(daemon.database, "storage.recovered"), daemon.said)
    assert daemon.stop() == 0
    full, recovered = (daemon.entries(f"storage.{what}")[-1] for what in ("full", "recovered"))
    assert full["occurred_at"] < recovered["occurred_at"]


def _accounted(daemon: RunningDaemon) -> None:
    """Every seq that is missing is covered by an `events.pruned`, by number and by range."""
    assert verify(daemon.database) == []
    stored = daemon.entries()
    pruned = [entry["metadata"] for entry in stored if entry["action"] == "events.pruned"]
    assert pruned
    assert any("by_full" in metadata for metadata in pruned)
    covered = sum(metadata["count"] for metadata in pruned)
    removed = stored[-1]["seq"] - len(stored)
    assert covered <= removed  # earlier accounts may have been removed in their turn
    assert pruned[-1]["to_seq"] + 1 >= stored[0]["seq"]


# ── a failing disk ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("call", "error", "code"),
    [
        ("fdatasync", "EIO", "io_error"),
        ("fdatasync", "ENOSPC", "io_error"),
        ("pwrite64", "EIO", "io_error"),
        ("pwrite64", "ENOSPC", "storage_full"),
    ],
)
def test_a_failing_call_is_answered_and_the_same_connection_goes_on(
    make: Make, calls_to_start: Counter[str], call: str, error: str, code: str
) -> None:
    strace = need_tool("strace")
    daemon = make()
    daemon.start()
    assert daemon.stop() == 0
    count = calls_to_start[call]
    inject = f"inject={call}:error={error}:when={count + 8}..{count + 12}"
    prefix = [strace, *WATCHING, "-o", "/dev/null", "-e", f"trace={call}", "-e", inject]
    daemon.start(prefix=prefix)
    answers: list[dict[str, Any]] = []
    waiting = _events(40)
    with daemon.line() as line:
        for event in waiting:
            answer = line.ask(event)
            answers.append(answer)
            deadline = time.monotonic() + 30
            while not answer["ok"]:
                assert answer["retry"]
                assert answer["code"] in (code, "io_error", "storage_full")
                assert time.monotonic() < deadline, daemon.said()
                time.sleep(0.02)
                answer = line.ask(event)
                answers.append(answer)
    refused = [answer for answer in answers if not answer["ok"]]
    assert refused
    assert code in {answer["code"] for answer in refused}
    assert daemon.stop() == 0
    stored = daemon.entries("disk.filled")
    assert len(stored) == 40
    assert len({entry["id"] for entry in stored}) == 40
    assert verify(daemon.database) == []


@pytest.fixture(scope="module")
def calls_to_start(tmp_path_factory: pytest.TempPathFactory) -> Counter[str]:
    """How many calls of each kind a start on a known journal makes."""
    strace = need_tool("strace")
    folder = tmp_path_factory.mktemp("measure")
    daemon = RunningDaemon(folder)
    try:
        daemon.start()
        assert daemon.stop() == 0
        trace = folder / "trace"
        daemon.start(prefix=[strace, *WATCHING, "-o", str(trace), "-e", "trace=fdatasync,pwrite64"])
    finally:
        daemon.kill()
    return Counter(re.findall(r"(fdatasync|pwrite64)\(", trace.read_text()))


def test_a_disk_that_goes_on_failing_ends_the_daemon_with_74(
    make: Make, calls_to_start: Counter[str]
) -> None:
    strace = need_tool("strace")
    daemon = make()
    daemon.start()
    assert daemon.stop() == 0
    count = calls_to_start["fdatasync"]
    script = (
        "import collector.daemon.failing as f, collector.cli as cli\n"
        "f.GIVE_UP_AFTER = 1.5\nraise SystemExit(cli.main())"
    )
    inject = f"inject=fdatasync:error=EIO:when={count + 3}+"
    prefix = [strace, *WATCHING, "-o", "/dev/null", "-e", "trace=fdatasync", "-e", inject]
    daemon.start(prefix=prefix, script=script)
    acknowledged = []
    with daemon.line() as line:
        try:
            while True:
                answer = line.ask({"action": "disk.filled"})
                if answer["ok"]:
                    acknowledged.append(answer["seq"])
        except (EOFError, OSError):
            pass
    assert daemon.ended() == 74, daemon.said()
    critical = [text for text in daemon.said().splitlines() if "cannot be written" in text]
    assert len(critical) == 1  # not one for each failure
    daemon.start()
    assert daemon.stop() == 0
    stored = {entry["seq"] for entry in daemon.entries("disk.filled")}
    assert acknowledged
    assert set(acknowledged) <= stored
    assert daemon.entries("collector.started")[-1]["metadata"]["previous"] == "unclean"


# ── a power cut ─────────────────────────────────────────────────────────────────────────────────

SHUTDOWN = 0x8004587D
"""EXT4_IOC_SHUTDOWN; with flag 2 (NOLOGFLUSH) the file system stops as at a power cut."""


@pytest.mark.parametrize("round_", range(3))
def test_what_was_acknowledged_outlives_a_power_cut(
    make: Make, small_disk: Path, tmp_path: Path, round_: int
) -> None:
    daemon = make(state=small_disk).start()
    acknowledged: dict[str, int] = {}
    with daemon.line() as line:
        for _ in range(20 + 13 * round_):
            accepted, _ = _record(line, 7)
            acknowledged.update({answer["id"]: answer["seq"] for answer in accepted})
        line.send(*_events(100))  # under way when the power goes
        directory = os.open(small_disk, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(directory, SHUTDOWN, struct.pack("I", 2))
        except OSError as error:
            need(False, f"the file system cannot be shut down: {error}")
        finally:
            os.close(directory)
        daemon.kill()
        # What is acknowledged only now does not count: an fdatasync that runs while the file system is
        # shut down may return success for pages that are gone (5 of 60 rounds of a bare write loop).
        # The order of sync and acknowledgement is held by test_order.
    subprocess.run(["umount", small_disk], check=True)
    subprocess.run(["mount", "-o", "loop", tmp_path / "state.image", small_disk], check=True)
    daemon.start()
    assert daemon.stop() == 0
    stored = {entry["id"]: entry["seq"] for entry in daemon.entries("disk.filled")}
    assert acknowledged
    assert acknowledged.items() <= stored.items()
    assert verify(daemon.database) == []
