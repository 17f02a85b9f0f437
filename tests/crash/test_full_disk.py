"""A disk that is really full (a small ext4 image on a loop mount), and one that fails (strace)."""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
import struct
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from collector.core.retention import Limits
from collector.event import Draft
from collector.janitor.full_disk import MARGIN
from collector.journal.backup import verify
from tests.crash.disk import WATCHING
from tests.daemon.harness import Line, RunningDaemon, entries, until
from tests.disks import fill, mounted
from tests.journal.readers import held_elsewhere, perhaps_held
from tests.journal.world import Resource, world
from tests.requirements import need, need_tool
from tests.test_janitor import House, notes

Make = Callable[..., RunningDaemon]
READERS = pytest.mark.parametrize("reader", [False, True], ids=["alone", "reader"])
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
    with daemon.line() as line:
        for _ in range(120):  # 12,000 events of 1 KB: twice what there is room for
            accepted, turned_away = _record(line, 100)
            stored += len(accepted)
            refused += len(turned_away)
            assert {answer["code"] for answer in turned_away} <= {"storage_full"}
            assert all(answer["retry"] and answer["id"] for answer in turned_away)
        assert stored > 8_000, (stored, refused, daemon.said())
        ballast.unlink()
        until(lambda: entries(daemon.database, "storage.recovered"), daemon.said)
        assert len(_record(line, 200)[0]) == 200
    assert daemon.stop() == 0
    full = daemon.entries("storage.full")  # the daemon's own words outlive the rotation
    assert daemon.entries("collector.started")[0]["seq"] == 1
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


# ── a reader that holds a snapshot ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize("on_full", ["rotate", "suspend"])
def test_a_reader_that_stays_until_nothing_fits_costs_nothing_and_needs_no_restart(
    make: Make, small_disk: Path, on_full: str
) -> None:
    """Without the rule for room the log fills the disk, and what it holds no longer fits behind it."""
    daemon = make(storage=f'on_full = "{on_full}"', state=small_disk).start(script=QUICK)
    until(lambda: (small_disk / "events.db.reserve").exists())
    stored: set[str] = set()
    with daemon.line() as line:
        with held_elsewhere(daemon.database):
            for _ in range(300):
                accepted, turned_away = _record(line, 100)
                stored |= {answer["id"] for answer in accepted}
                assert {answer["code"] for answer in turned_away} <= {"storage_full"}
                if not accepted:
                    break
            else:
                pytest.fail("the log never outgrew the disk")
            assert line.ask({"op": "status"})["status"]["journal"]["full"]
            assert not line.ask({"action": "not.now"})["ok"]
        until(lambda: line.ask({"action": "again.now"})["ok"], daemon.said, patience=5)
        until(lambda: entries(daemon.database, "storage.recovered"), daemon.said)
        assert len(_record(line, 200)[0]) == 200
    assert daemon.stop() == 0
    assert stored <= {entry["id"] for entry in daemon.entries("disk.filled")}
    assert [e["metadata"] for e in daemon.entries("storage.full")] == [
        {"on_full": on_full, "cause": "held"}
    ]
    assert daemon.entries("events.pruned") == []
    assert verify(daemon.database) == []
    daemon.start()
    assert daemon.stop() == 0


def test_a_commit_after_which_the_log_would_not_fit_any_more_is_refused(small_disk: Path) -> None:
    """A group of large records takes twice its length in the log, and that again in the database: more
    than any margin, so it is looked at before it is committed."""
    with world(small_disk / "events.db", resources=[Resource("things", "thing")]) as w:
        house = House(w, Limits(max_days=0, max_entries=0, max_bytes=0))
        disk = house.janitor.disk
        w.intake._committer._make_room = house.janitor.make_room
        assert disk.reserve.take()
        with held_elsewhere(w.path):
            kept = w.record(notes(3000, message="x" * 1000))
            assert not w.journal.checkpoint()
            growth = w.journal.growth()
            assert growth > 2 * disk.reserve.size()
            fill(small_disk, growth + MARGIN - disk.reserve.size() + (64 << 10))
            assert not disk.short_of_room()
            large = [
                Draft(
                    action="thing.updated",
                    object_type="thing",
                    object_id=str(n % 3),
                    record={f"field{field}": f"{n}" + "y" * 1000 for field in range(60)},
                )
                for n in range(66)
            ]
            log = w.journal.wal_bytes()
            assert {answer.code for answer in w.record(large)} == {"storage_full"}
            assert disk.reserve.held
            assert w.journal.wal_bytes() <= log, "what it had written to the log is cut off again"
            assert disk.waiting
        house.time += 2
        house.janitor._wait_for_readers()
        assert not disk.waiting
        assert w.journal.growth() == 0
        assert w.record(notes(1))[0].ok
        assert w.journal.entries(kept[0].seq, kept[0].seq), "nothing had to go"
    assert verify(small_disk / "events.db") == []


def test_a_disk_that_others_fill_while_a_reader_stays_costs_no_entry(
    make: Make, small_disk: Path
) -> None:
    daemon = make(storage='on_full = "rotate"', state=small_disk).start(script=QUICK)
    until(lambda: (small_disk / "events.db.reserve").exists())
    with daemon.line() as line:
        first = {answer["id"] for answer in _record(line, 1000)[0]}
        with held_elsewhere(daemon.database):
            ballast = fill(small_disk, 1 << 20)
            while True:
                accepted, _ = _record(line, 50)
                first |= {answer["id"] for answer in accepted}
                if not accepted:
                    break
            asked = time.monotonic()
            assert line.ask({"action": "not.now"})["code"] == "storage_full"
            assert time.monotonic() - asked < 0.5, "nobody waits for a reader"
            ballast.unlink()
        until(lambda: line.ask({"action": "again.now"})["ok"], daemon.said)
    assert daemon.stop() == 0
    assert first <= {entry["id"] for entry in daemon.entries("disk.filled")}
    assert daemon.entries("storage.recovered")
    assert verify(daemon.database) == []


def _accounted(daemon: RunningDaemon) -> None:
    """Every seq that is missing is in the ledger, and the last `events.pruned` has its totals."""
    assert verify(daemon.database) == []
    stored = daemon.entries()
    with closing(sqlite3.connect(f"file:{daemon.database}?mode=ro", uri=True)) as journal:
        removed = dict(journal.execute("SELECT cause, count FROM removed"))
    assert removed.keys() == {"full"}
    assert stored[-1]["seq"] - len(stored) == removed["full"]
    told = daemon.entries("events.pruned")[-1]["metadata"]
    assert (told["total"], told["total_full"]) == (removed["full"], removed["full"])


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
@READERS
def test_a_failing_call_is_answered_and_the_same_connection_goes_on(
    make: Make, calls_to_start: Counter[str], call: str, error: str, code: str, reader: bool
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
    with daemon.line() as line, perhaps_held(daemon.database, reader):
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


@READERS
def test_a_disk_that_goes_on_failing_ends_the_daemon_with_74(
    make: Make, calls_to_start: Counter[str], reader: bool
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
    with perhaps_held(daemon.database, reader):
        with daemon.line() as line:
            try:
                while True:
                    answer = line.ask({"action": "disk.filled"})
                    if answer["ok"]:
                        acknowledged.append(answer["seq"])
            except (EOFError, OSError):
                pass
        assert daemon.ended() == 74, daemon.said()
        if reader:  # after such an end it is waited for
            assert daemon.fails() == 75
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


@pytest.mark.parametrize(("round_", "reader"), [(0, False), (1, True), (2, True), (3, False)])
def test_what_was_acknowledged_outlives_a_power_cut(
    make: Make, small_disk: Path, tmp_path: Path, round_: int, reader: bool
) -> None:
    daemon = make(state=small_disk).start()
    acknowledged: dict[str, int] = {}
    with daemon.line() as line, perhaps_held(daemon.database, reader):
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
